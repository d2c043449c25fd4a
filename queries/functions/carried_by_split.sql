-- The part of a token's projection on the probe carried by split latents: the sum over those among the token's latents.
CREATE MACRO carried_by_split(split, latents, projections) AS coalesce(list_sum(list_transform(
    list_filter(range(1, len(latents) + 1), lambda i: list_contains(split, latents[i])),
    lambda i: projections[i])), 0);
