-- One row per SAE and concept of a family that counts in a mean. The SAEs are two SAEs, which may be from two suites,
-- with all of their seeds; if the two are seeds of one SAE, only these two.
-- params: suite VARCHAR, sae VARCHAR, other_suite VARCHAR, other_sae VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE, mean_policy VARCHAR
-- columns: is_other BOOLEAN, sae VARCHAR, concept VARCHAR, rate DOUBLE
WITH seeds AS (
    SELECT suite, sae, coalesce(repeat_of, sae) AS first_seed
    FROM saes
),
chosen AS (
    SELECT false AS is_other, suite, sae, first_seed FROM seeds WHERE suite = $suite AND sae = $sae
    UNION ALL
    SELECT true, suite, sae, first_seed FROM seeds WHERE suite = $other_suite AND sae = $other_sae
),
taken AS (
    SELECT chosen.is_other, seeds.suite, seeds.sae
    FROM chosen
    JOIN seeds USING (suite, first_seed)
    WHERE seeds.sae = chosen.sae OR (SELECT count(DISTINCT (suite, first_seed)) FROM chosen) = 2
)
SELECT is_other, sae, concept, rate_in_mean(absorption_rate, num_probe_true_positives, num_rows) AS rate
FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin)
JOIN taken USING (suite, sae)
WHERE rate IS NOT NULL AND counted($mean_policy, num_candidates, num_rows, is_published, num_probe_true_positives)
ORDER BY is_other, sae, concept
