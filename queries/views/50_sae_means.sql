-- One row an SAE: its letters taken together, under the given thresholds and mean policy.
-- mean_policy 'with_candidates': the mean over the letters that have candidates, the paper's own aggregation;
-- 'all_letters': over all measured letters, those without candidates counted as 0.
CREATE MACRO sae_means(tau, cosine_threshold, effect_margin, mean_policy) AS TABLE
SELECT suite, layer, width, l0,
    avg(rate) FILTER (counts) AS absorption_rate,
    stddev_samp(rate) FILTER (counts) AS absorption_sd,
    quantile_cont(rate, 0.25) FILTER (counts) AS absorption_q1,
    quantile_cont(rate, 0.75) FILTER (counts) AS absorption_q3,
    count(*) FILTER (counts) AS num_letters,
    avg(num_split_latents) AS num_split_latents,
    count(*) FILTER (num_split_latents > 1) AS num_letters_split,
    CAST(sum(num_absorbed) AS BIGINT) AS num_absorbed,
    CAST(sum(num_rows) AS BIGINT) AS num_tested
FROM (
    SELECT *,
        coalesce(absorption_rate, 0) AS rate,
        mean_policy = 'all_letters' OR coalesce(num_candidates, nullif(num_rows, 0),
            CASE WHEN num_absorbed_published IS NOT NULL THEN num_probe_true_positives END) > 0 AS counts
    FROM rates(tau, cosine_threshold, effect_margin)
)
GROUP BY suite, layer, width, l0;
