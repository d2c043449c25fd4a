-- One row per SAE: means over its concepts of a family, at the given thresholds and mean policy. Concepts of unknown
-- rate are omitted from the means; a total is known only if each concept's count is.
CREATE MACRO sae_means(by_metric, in_family, tau, cosine_threshold, effect_margin, mean_policy) AS TABLE
SELECT suite, sae,
    avg(rate) FILTER (counts) AS absorption_rate,
    stddev_samp(rate) FILTER (counts) AS absorption_sd,
    quantile_cont(rate, 0.25) FILTER (counts) AS absorption_q1,
    quantile_cont(rate, 0.75) FILTER (counts) AS absorption_q3,
    avg(random_rate) FILTER (counts) AS random_rate,
    count(*) FILTER (counts) AS num_concepts,
    avg(num_split_latents) AS num_split_latents,
    count(*) FILTER (num_split_latents > 1) AS num_concepts_split,
    CASE WHEN bool_and(num_absorbed IS NOT NULL) THEN CAST(sum(num_absorbed) AS BIGINT) END AS num_absorbed,
    CASE WHEN bool_and(num_rows IS NOT NULL) THEN CAST(sum(num_rows) AS BIGINT) END AS num_tested
FROM (
    SELECT *,
        rate_in_mean(absorption_rate, num_probe_true_positives, num_rows) AS rate,
        rate IS NOT NULL AND counted(mean_policy, num_candidates, num_rows, is_published, num_probe_true_positives) AS counts
    FROM rates(by_metric, in_family, tau, cosine_threshold, effect_margin)
)
GROUP BY suite, sae;
