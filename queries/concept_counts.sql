-- One row per concept of a family, in the family's order: its number of absorbing latents on this SAE. measured is
-- false for concepts that were not measured.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: concept VARCHAR, label VARCHAR, measured BOOLEAN, num_split_latents BIGINT, num_absorbing_latents BIGINT,
--          num_absorbed BIGINT, num_tested BIGINT, absorption_rate DOUBLE
SELECT concepts.concept, concepts.label,
    rates.concept IS NOT NULL AS measured,
    CAST(rates.num_split_latents AS BIGINT) AS num_split_latents,
    rates.num_absorbing_latents,
    rates.num_absorbed,
    CAST(coalesce(rates.num_tested, rates.num_rows) AS BIGINT) AS num_tested,
    rates.absorption_rate
FROM concepts
LEFT JOIN (
    SELECT *
    FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND sae = $sae
) AS rates USING (concept)
WHERE concepts.suite = $suite AND concepts.family = $family
ORDER BY concepts.position, concepts.concept
