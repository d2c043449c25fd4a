-- One row per SAE of the suite, or of all suites if scope is 'all': absorption and splitting as means over the concepts
-- of a family. absorption_sd, _q1 and _q3 are taken over the concepts that count under the mean policy. seed_low and
-- seed_high are the lowest and highest rate over the seeds of an SAE (macro seed_spread).
-- params: suite VARCHAR, family VARCHAR, scope VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE,
--         mean_policy VARCHAR
-- columns: suite VARCHAR, sae VARCHAR, title VARCHAR, layer INTEGER, hook VARCHAR, architecture VARCHAR, width INTEGER,
--          l0 DOUBLE, seed INTEGER, repeat_of VARCHAR, variance_explained DOUBLE, loss_recovered DOUBLE, dead_fraction DOUBLE,
--          canonical BOOLEAN, absorption_rate DOUBLE, absorption_sd DOUBLE,
--          absorption_q1 DOUBLE, absorption_q3 DOUBLE, random_rate DOUBLE, num_concepts BIGINT, num_split_latents DOUBLE,
--          num_concepts_split BIGINT, num_absorbed BIGINT, num_tested BIGINT, num_absorbing_latents BIGINT,
--          num_seeds BIGINT, seed_low DOUBLE, seed_high DOUBLE
SELECT means.suite, means.sae, saes.title, saes.layer, saes.hook, saes.architecture, saes.width, saes.l0, saes.seed, saes.repeat_of,
    saes.variance_explained, saes.loss_recovered, saes.dead_fraction, saes.canonical,
    means.* EXCLUDE (suite, sae),
    CASE WHEN means.num_tested IS NOT NULL THEN coalesce(absorbing.num_absorbing_latents, 0) END AS num_absorbing_latents,
    spread.num_seeds, spread.rate_low AS seed_low, spread.rate_high AS seed_high
FROM sae_means($metric, $family, $tau, $cosine_threshold, $effect_margin, $mean_policy) AS means
JOIN saes USING (suite, sae)
LEFT JOIN (
    SELECT suite, sae, count(DISTINCT top_latent) AS num_absorbing_latents
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE absorbed AND family = $family AND ($scope = 'all' OR suite = $suite)
    GROUP BY suite, sae
) AS absorbing USING (suite, sae)
LEFT JOIN seed_spread($metric, $family, $tau, $cosine_threshold, $effect_margin, $mean_policy) AS spread USING (suite, sae)
WHERE $scope = 'all' OR means.suite = $suite
ORDER BY means.suite, saes.position, saes.seed, saes.sae
