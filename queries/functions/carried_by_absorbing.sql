-- The projection carried by absorbing latents as defined by SAEBench: the three largest among other latents with a
-- cosine of at least 0.1.
CREATE MACRO carried_by_absorbing(split, latents, projections, cosines) AS coalesce(list_sum(list_reverse_sort(list_transform(
    list_filter(range(1, len(latents) + 1),
        lambda i: NOT list_contains(split, latents[i]) AND projections[i] > 0 AND cosines[i] >= 0.1),
    lambda i: projections[i]))[1:3]), 0);
