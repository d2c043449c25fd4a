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
    FROM (SELECT *, unnest(active) AS latent FROM tested)
    JOIN ranks USING (suite, sae, concept, latent)
    GROUP BY token_row
),
ranked AS (
    SELECT DISTINCT suite, sae, concept, true AS is_ranked
    FROM ranks
    WHERE latent IS NOT NULL
)
SELECT tested.suite, tested.sae, tested.concept, tested.token,
    tested.top_latent, tested.top_effect, tested.top_cosine,
    tested.second_latent, tested.second_effect, tested.second_cosine,
    abs(tested.top_effect) - abs(coalesce(tested.second_effect, 0)) AS margin,
    coalesce(list_has_any(tested.active, measurements.split_latents), false) AS fires_published,
    CASE WHEN is_ranked THEN coalesce(fired.silent_from, '-inf')
        WHEN fires_published THEN 'inf' ELSE '-inf' END AS silent_from,
    suites.tau AS tau_published,
    tested.is_absorption, tested.token_row
FROM tested
JOIN measurements USING (suite, sae, concept)
JOIN suites USING (suite)
LEFT JOIN fired USING (token_row)
LEFT JOIN ranked USING (suite, sae, concept)
ORDER BY tested.token_row;
