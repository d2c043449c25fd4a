-- One row per tested token with everything that decides on its verdict by any metric, computed once when the store
-- opens, so that a change of a threshold only compares columns. `margin`: effect margin of the top latent.
-- `silent_from`: lowest tau from which no split latent is among the token's active latents. `fires_published`: whether
-- one of the suite's own split latents is. `judged_by`: the metric of the published verdict. projected_latent: the
-- active latent with the largest projection on the probe.
CREATE TABLE scores AS
WITH tested AS (
    SELECT tested_tokens.*, tested_tokens.rowid AS token_row, list_append(coalesce(latents, []), top_latent) AS active,
        list_position(projections, list_max(projections)) AS projected,
        coalesce(tested_tokens.metric, suites.metric) AS judged_by
    FROM tested_tokens
    JOIN suites USING (suite)
),
fired AS (
    SELECT token_row, max(rise) AS silent_from
    FROM (SELECT suite, sae, concept, token_row, unnest(active) AS latent FROM tested)
    JOIN (SELECT suite, sae, concept, unnest(latents) AS latent, unnest(rises) AS rise FROM ranks)
        USING (suite, sae, concept, latent)
    GROUP BY token_row
)
SELECT ranked.pair, ranked.suite_number, ranked.sae_number, tested.suite, tested.sae, tested.concept, ranked.family, tested.token,
    tested.top_latent, tested.top_effect, tested.top_cosine,
    tested.second_latent, tested.second_effect, tested.second_cosine,
    abs(tested.top_effect) - abs(coalesce(tested.second_effect, 0)) AS margin,
    coalesce(tested.latents[projected], tested.top_latent) AS projected_latent,
    coalesce(tested.cosines[projected], tested.top_cosine) AS projected_cosine,
    CASE WHEN projected IS NULL THEN tested.top_effect ELSE tested.effects[projected] END AS projected_effect,
    coalesce(tested.projections[projected], tested.top_projection) AS projection,
    tested.latents_projection, tested.total_projection,
    coalesce(absorption_fraction(tested.main_projection, tested.absorbing_projection, tested.total_projection),
        CASE WHEN fraction_of(tested.metric_version) = 'fraction' THEN tested.absorption_fraction END) AS fraction,
    coalesce(absorption_fraction_0_3(tested.main_projection, tested.latents_projection, tested.total_projection),
        CASE WHEN fraction_of(tested.metric_version) <> 'fraction' THEN tested.absorption_fraction END) AS fraction_0_3,
    coalesce(list_has_any(tested.active, ranked.split_latents), false) AS fires_published,
    CASE WHEN ranked.ranked_latents IS NOT NULL THEN coalesce(fired.silent_from, '-inf')
        WHEN fires_published THEN 'inf' ELSE '-inf' END AS silent_from,
    ranked.tau_published, ranked.ranked_latents IS NOT NULL AS is_ranked,
    tested.judged_by, tested.is_absorption, tested.token_row
FROM tested
JOIN ranked USING (suite, sae, concept)
LEFT JOIN fired USING (token_row)
ORDER BY ranked.pair, tested.token_row;
