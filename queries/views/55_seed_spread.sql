-- One row per SAE with several seeds, and per each of its further seeds: the lowest and highest absorption rate over
-- all of them, each the mean over the concepts of a family; only if all rates are known.
CREATE MACRO seed_spread(by_metric, in_family, tau, cosine_threshold, effect_margin, mean_policy) AS TABLE
SELECT suite, sae, num_seeds, rate_low, rate_high
FROM (
    SELECT suite, coalesce(repeat_of, sae) AS first_seed, count(*) AS num_seeds,
        min(absorption_rate) AS rate_low, max(absorption_rate) AS rate_high,
        bool_and(absorption_rate IS NOT NULL) AS are_known
    FROM sae_means(by_metric, in_family, tau, cosine_threshold, effect_margin, mean_policy)
    JOIN saes USING (suite, sae)
    GROUP BY ALL
    HAVING count(*) > 1
) AS spread
JOIN (SELECT suite, sae, coalesce(repeat_of, sae) AS first_seed FROM saes) AS seeds USING (suite, first_seed)
WHERE are_known;
