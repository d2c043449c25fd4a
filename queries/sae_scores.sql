-- One row per SAE of the suite: precision and recall of the main latent, means over the concepts of a family that have
-- both. main_latent_by 'k_sparse': the first latent of k-sparse probing, as a calibrated classifier; 'encoder': the
-- latent with the highest encoder cosine, as the classifier `activation > 0`.
-- params: suite VARCHAR, family VARCHAR, main_latent_by VARCHAR
-- columns: suite VARCHAR, sae VARCHAR, layer INTEGER, hook VARCHAR, architecture VARCHAR, width INTEGER, l0 DOUBLE,
--          seed INTEGER, precision DOUBLE, recall DOUBLE, num_concepts BIGINT
SELECT suite, sae, saes.layer, saes.hook, saes.architecture, saes.width, saes.l0, saes.seed,
    means.precision, means.recall, means.num_concepts
FROM (
    SELECT suite, sae, avg(precision) AS precision, avg(recall) AS recall, count(*) AS num_concepts
    FROM (
        SELECT suite, sae, concept, precision, recall, 'k_sparse' AS main_latent_by
        FROM k_sparse
        WHERE k = 1
        UNION ALL
        SELECT suite, sae, concept, precision, recall, 'encoder' AS main_latent_by
        FROM encoder_top
        WHERE rank = 0
    )
    JOIN concepts USING (suite, concept)
    WHERE suite = $suite AND family = $family AND main_latent_by = $main_latent_by
        AND precision IS NOT NULL AND recall IS NOT NULL
    GROUP BY suite, sae
) AS means
JOIN saes USING (suite, sae)
ORDER BY saes.position, saes.seed, sae
