-- One row per concept of a word and SAE: the word's verdict by the current metric. A word's concepts are those that the
-- vocabulary lists and those that it was tested for. `reason`: see functions/reason.sql; if the word was not tested (absorbed
-- and fraction are NULL): 'not measured' (the concept was not measured by this metric on this SAE), 'undefined' (absorption is
-- undefined; the column `undefined` states why), 'not stored' (the SAE has no tested tokens by this metric), 'not a test word',
-- or 'not tested' (the reason is not stored).
-- params: suite VARCHAR, token VARCHAR, facet_saes VARCHAR[], metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: concept VARCHAR, sae VARCHAR, num_split_latents BIGINT, is_tested BOOLEAN, absorbed BOOLEAN, published BOOLEAN,
--          reason VARCHAR, undefined VARCHAR, top_latent INTEGER, top_effect FLOAT, top_cosine FLOAT, margin FLOAT,
--          projection FLOAT, projected_share FLOAT, fraction FLOAT
WITH word AS (
    SELECT token_id, is_test
    FROM tokens
    WHERE suite = $suite AND token = $token
),
own AS (FROM concepts_of_token($suite, $token)),
judged AS (
    SELECT *, reason($metric, is_decided, absorbed, silent, top_effect, margin, top_cosine, $cosine_threshold, $effect_margin)
        AS reason
    FROM current_verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND token = $token
),
-- For small concepts, words of all splits are tested.
test_splits AS (
    SELECT concept, bool_and(is_test) AS only_test_words
    FROM scores
    JOIN tokens USING (suite, token)
    WHERE suite = $suite AND concept IN (FROM own)
    GROUP BY concept
)
SELECT own.concept, saes.sae, len(splits.split_latents) AS num_split_latents, judged.token IS NOT NULL AS is_tested, judged.absorbed,
    CASE WHEN judged_by = $metric THEN is_absorption END AS published,
    CASE WHEN judged.token IS NOT NULL THEN reason
        WHEN by_metric.sae IS NULL THEN 'not measured'
        WHEN by_metric.undefined IS NOT NULL THEN 'undefined'
        WHEN tested.sae IS NULL THEN 'not stored'
        WHEN only_test_words AND NOT EXISTS (FROM word WHERE is_test IS DISTINCT FROM false) AND EXISTS (FROM word)
            THEN 'not a test word'
        ELSE 'not tested' END AS reason,
    by_metric.undefined,
    CASE WHEN NOT is_fraction($metric) THEN top_latent END AS top_latent,
    CASE WHEN NOT is_fraction($metric) THEN top_effect END AS top_effect,
    CASE WHEN NOT is_fraction($metric) THEN top_cosine END AS top_cosine,
    CASE WHEN NOT is_fraction($metric) THEN margin END AS margin,
    CASE WHEN $metric = 'full' THEN projection END AS projection,
    CAST(CASE WHEN $metric = 'full' AND total_projection > 0 THEN projection / total_projection END AS FLOAT)
        AS projected_share,
    CAST(CASE WHEN is_fraction($metric) THEN fraction END AS FLOAT) AS fraction
FROM saes
CROSS JOIN own
JOIN concepts ON concepts.suite = $suite AND concepts.concept = own.concept
LEFT JOIN families ON families.suite = $suite AND families.family = concepts.family
LEFT JOIN splits($tau) AS splits ON splits.suite = $suite AND splits.sae = saes.sae AND splits.concept = own.concept
LEFT JOIN (FROM measured WHERE suite = $suite AND metric = $metric) AS by_metric
    ON by_metric.sae = saes.sae AND by_metric.concept = own.concept
LEFT JOIN judged ON judged.sae = saes.sae AND judged.concept = own.concept
LEFT JOIN (
    SELECT DISTINCT sae
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite
) AS tested ON tested.sae = saes.sae
LEFT JOIN test_splits ON test_splits.concept = own.concept
WHERE saes.suite = $suite AND ($facet_saes IS NULL OR list_contains($facet_saes, saes.sae))
ORDER BY families.position, concepts.position, own.concept, saes.position, saes.sae
