-- At most 200 rows: vocabulary words that a latent classifies wrongly for the concept, up to 100 on which it fires and 100 that
-- it misses. kind 'false alarm': it fires, and the word has other concepts of the family; 'unlisted': it fires, and no concept
-- of the family is listed for the word; both by descending activation. 'miss': a word of the concept on which it is silent, with
-- verdict and top latent if it was tested (else NULL); absorbed words first. `concepts`: those of the family.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, latent INTEGER, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: kind VARCHAR, token VARCHAR, activation FLOAT, concepts VARCHAR[], is_test BOOLEAN, is_tested BOOLEAN,
--          absorbed BOOLEAN, top_latent INTEGER
WITH errors AS (
    SELECT words.*, coalesce(tested.is_tested, false) AS is_tested, absorbed, top_latent,
        row_number() OVER (
            PARTITION BY kind = 'miss'
            ORDER BY activation DESC, coalesce(absorbed, false) DESC, tested.is_tested NULLS LAST,
                CASE WHEN absorbed THEN top_effect END, token
        ) AS place
    FROM words_by($suite, $sae, $concept, $latent) AS words
    LEFT JOIN (
        SELECT token, true AS is_tested, absorbed, top_effect, CASE WHEN NOT is_fraction($metric) THEN top_latent END AS top_latent
        FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
        WHERE suite = $suite AND sae = $sae AND concept = $concept
    ) AS tested USING (token)
    WHERE kind <> 'hit'
    QUALIFY place <= 100
),
named AS (
    SELECT token_id, list(concept ORDER BY position, concept) AS concepts
    FROM token_concepts
    SEMI JOIN errors USING (token_id)
    JOIN concepts USING (suite, concept)
    WHERE suite = $suite AND family = (SELECT family FROM concepts WHERE suite = $suite AND concept = $concept)
    GROUP BY token_id
)
SELECT kind, token, activation, coalesce(concepts, []) AS concepts, is_test, is_tested, absorbed, top_latent
FROM errors
LEFT JOIN named USING (token_id)
ORDER BY kind = 'miss', place
