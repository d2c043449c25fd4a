-- One row per concept of a family and SAE of the suite, or of all suites if scope is 'all'; none for concepts that were
-- not measured. f1_gap is the linear probe's F1 minus that of the main latent (k-sparse probing, k = 1).
-- params: suite VARCHAR, family VARCHAR, scope VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: suite VARCHAR, sae VARCHAR, concept VARCHAR, absorption_rate DOUBLE, rate_low DOUBLE, rate_high DOUBLE,
--          num_absorbed BIGINT, num_tested BIGINT, num_split_latents BIGINT, f1_gap DOUBLE, random_rate DOUBLE
SELECT rates.suite, rates.sae, rates.concept, rates.absorption_rate,
    rates.absorption_interval.low AS rate_low,
    rates.absorption_interval.high AS rate_high,
    rates.num_absorbed,
    rates.num_rows AS num_tested,
    CAST(rates.num_split_latents AS BIGINT) AS num_split_latents,
    rates.probe_f1 - main.f1 AS f1_gap,
    rates.random_rate
FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin) AS rates
JOIN concepts USING (suite, concept)
JOIN saes USING (suite, sae)
LEFT JOIN (FROM k_sparse WHERE k = 1) AS main USING (suite, sae, concept)
WHERE $scope = 'all' OR rates.suite = $suite
ORDER BY rates.suite, saes.position, saes.seed, rates.sae, concepts.position, rates.concept
