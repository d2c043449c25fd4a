-- At most one row: the concept other than first letters whose absorption rate exceeds its rate by chance (random_rate) most,
-- among those with stored tested tokens, with metric and SAE. letter_rate: the mean over first letters, same SAE and metric.
-- num_families: number of families other than first letters with a measured rate; num_families_above: those of them with a
-- concept above its random rate.
-- params: suite VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE, mean_policy VARCHAR
-- columns: metric VARCHAR, sae VARCHAR, family VARCHAR, concept VARCHAR, num_absorbed BIGINT, num_tested BIGINT,
--          num_probe_true_positives INTEGER, absorption_rate DOUBLE, rate_low DOUBLE, rate_high DOUBLE, random_rate DOUBLE,
--          letter_rate DOUBLE, letter_random_rate DOUBLE, num_families BIGINT, num_families_above BIGINT
WITH known AS (
    FROM rates('ig_ablation', NULL, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND absorption_rate IS NOT NULL
    UNION ALL
    FROM rates('full', NULL, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND absorption_rate IS NOT NULL
),
best AS (
    FROM known
    WHERE family <> 'first-letter' AND num_absorbed > 0 AND num_rows > 0 AND absorption_rate > coalesce(random_rate, 0)
    ORDER BY absorption_rate - coalesce(random_rate, 0) DESC, sae, concept, metric
    LIMIT 1
),
letters AS (
    SELECT avg(rate_in_mean(known.absorption_rate, known.num_probe_true_positives, known.num_rows)) AS rate,
        avg(known.random_rate) AS random_rate
    FROM known
    JOIN best ON best.metric = known.metric AND best.sae = known.sae
    WHERE known.family = 'first-letter'
        AND counted($mean_policy, known.num_candidates, known.num_rows, known.is_published, known.num_probe_true_positives)
)
SELECT best.metric, best.sae, best.family, best.concept, best.num_absorbed,
    CAST(best.num_rows AS BIGINT) AS num_tested, best.num_probe_true_positives, best.absorption_rate,
    best.absorption_interval.low AS rate_low, best.absorption_interval.high AS rate_high, best.random_rate,
    letters.rate AS letter_rate, letters.random_rate AS letter_random_rate,
    (SELECT count(DISTINCT family) FROM known WHERE family <> 'first-letter') AS num_families,
    (SELECT count(DISTINCT family) FROM known
        WHERE family <> 'first-letter' AND absorption_rate > random_rate) AS num_families_above
FROM best, letters
