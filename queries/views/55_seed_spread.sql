-- One row an SAE that was trained several times: the lowest and highest absorption rate over its seeds, each
-- the mean over the concepts of a family. Only at the suite's own thresholds, for of further seeds it holds counts and no scores.
CREATE MACRO seed_spread(by_metric, in_family, tau, cosine_threshold, effect_margin, mean_policy) AS TABLE
SELECT suite, sae, count(*) AS num_seeds, min(rate) AS rate_low, max(rate) AS rate_high
FROM (
    SELECT suite, sae, seed,
        avg(coalesce(num_absorbed / sample_portion / nullif(num_probe_true_positives, 0), 0)) AS rate
    FROM repeats
    JOIN suites USING (suite)
    JOIN concepts USING (suite, concept)
    WHERE concepts.family = in_family AND suites.metric = by_metric AND suites.tau = tau AND suites.cosine_threshold = cosine_threshold AND suites.effect_margin = effect_margin
        AND counted(mean_policy, num_candidates, NULL, false, num_probe_true_positives)
    GROUP BY suite, sae, seed
)
GROUP BY suite, sae;
