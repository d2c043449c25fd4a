-- One row an SAE of the suite: precision and recall of the main latent, means over the letters that have both.
-- main_latent_by 'k_sparse': the latent that k-sparse probing with k = 1 picks, as a calibrated classifier;
-- 'encoder': the latent with the highest encoder cosine, as a classifier "fires at all".
-- params: suite VARCHAR, main_latent_by VARCHAR
-- columns: layer INTEGER, width INTEGER, l0 INTEGER, precision DOUBLE, recall DOUBLE, num_letters BIGINT
SELECT saes.layer, saes.width, saes.l0, avg(precision) AS precision, avg(recall) AS recall, count(*) AS num_letters
FROM (
    SELECT suite, sae, precision, recall, 'k_sparse' AS main_latent_by
    FROM k_sparse
    WHERE k = 1
    UNION ALL
    SELECT suite, sae, precision, recall, 'encoder' AS main_latent_by
    FROM encoder_top
    WHERE rank = 0
) AS scores
JOIN saes USING (suite, sae)
WHERE suite = $suite AND main_latent_by = $main_latent_by AND precision IS NOT NULL AND recall IS NOT NULL
GROUP BY saes.layer, saes.width, saes.l0
ORDER BY layer, width, l0
