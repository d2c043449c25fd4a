-- One row a tested token with all that decides on its verdict, computed once, when the store opens: a change of a
-- threshold then compares numbers and touches no list.
-- `margin`: by how much the top latent's effect leads. `silent_from`: no split latent is among the token's active latents
-- at this tau or above. `fires_published`: whether one of the suite's own split latents is.
CREATE TABLE scores AS
WITH tested AS (
    SELECT *, rowid AS token_row, list_append(coalesce(latents, []), top_latent) AS active
    FROM tested_tokens
),
fired AS (
    SELECT token_row, max(rise) AS silent_from
    FROM (SELECT suite, sae, concept, token_row, unnest(active) AS latent FROM tested)
    JOIN (SELECT suite, sae, concept, unnest(latents) AS latent, unnest(rises) AS rise FROM ranks)
        USING (suite, sae, concept, latent)
    GROUP BY token_row
)
SELECT tested.suite, tested.sae, tested.concept, measured.family, tested.token,
    tested.top_latent, tested.top_effect, tested.top_cosine,
    tested.second_latent, tested.second_effect, tested.second_cosine,
    abs(tested.top_effect) - abs(coalesce(tested.second_effect, 0)) AS margin,
    coalesce(list_has_any(tested.active, measured.split_latents), false) AS fires_published,
    CASE WHEN measured.ranked_latents IS NOT NULL THEN coalesce(fired.silent_from, '-inf')
        WHEN fires_published THEN 'inf' ELSE '-inf' END AS silent_from,
    measured.tau_published,
    tested.is_absorption, tested.token_row
FROM tested
JOIN measured USING (suite, sae, concept)
LEFT JOIN fired USING (token_row)
ORDER BY tested.token_row;
