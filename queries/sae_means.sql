-- One row an SAE of the suite, or of all suites where scope is 'all': absorption and splitting, means over letters.
-- absorption_sd, _q1 and _q3 are the spread over the letters that count under the mean policy.
-- seed_low and _high are the least and the largest rate over the seeds an SAE was trained with (macro seed_spread).
-- params: suite VARCHAR, scope VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE, mean_policy VARCHAR
-- columns: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, absorption_rate DOUBLE, absorption_sd DOUBLE,
--          absorption_q1 DOUBLE, absorption_q3 DOUBLE, num_letters BIGINT, num_split_latents DOUBLE,
--          num_letters_split BIGINT, num_absorbed BIGINT, num_tested BIGINT, num_absorbing_latents BIGINT,
--          canonical BOOLEAN, num_seeds BIGINT, seed_low DOUBLE, seed_high DOUBLE
SELECT means.suite, saes.layer, saes.width, saes.l0, means.* EXCLUDE (suite, sae),
    CASE WHEN means.num_tested IS NOT NULL THEN coalesce(absorbing.num_absorbing_latents, 0) END AS num_absorbing_latents,
    saes.canonical,
    spread.num_seeds, spread.rate_low AS seed_low, spread.rate_high AS seed_high
FROM sae_means($tau, $cosine_threshold, $effect_margin, $mean_policy) AS means
JOIN saes USING (suite, sae)
LEFT JOIN (
    SELECT suite, sae, count(DISTINCT top_latent) AS num_absorbing_latents
    FROM verdicts($tau, $cosine_threshold, $effect_margin)
    WHERE absorbed
    GROUP BY suite, sae
) AS absorbing USING (suite, sae)
LEFT JOIN seed_spread($tau, $cosine_threshold, $effect_margin, $mean_policy) AS spread USING (suite, sae)
WHERE $scope = 'all' OR means.suite = $suite
ORDER BY means.suite, saes.layer, saes.width, saes.l0
