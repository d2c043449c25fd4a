-- One row per SAE, concept and metric: its measurements. A fraction is a separate metric; its version determines which
-- of the two.
CREATE TABLE measured AS
WITH named AS (
    SELECT measurements.* REPLACE (coalesce(
        CASE WHEN coalesce(measurements.metric, suites.metric) = 'fraction' THEN fraction_of(measurements.metric_version) END,
        measurements.metric, suites.metric) AS metric)
    FROM measurements
    JOIN suites USING (suite)
)
SELECT named.* EXCLUDE (split_latents), ranked.* EXCLUDE (suite, sae, concept)
FROM (
    FROM named
    UNION ALL
    SELECT * REPLACE (fraction_of(metric_version) AS metric, NULL AS num_candidates, NULL AS num_absorbed,
        NULL AS absorption_rate, NULL AS random_rate, NULL AS rate_low, NULL AS rate_high)
    FROM named
    WHERE NOT is_fraction(metric) AND absorption_fraction IS NOT NULL
) AS named
JOIN ranked USING (suite, sae, concept)
ORDER BY pair, metric;
