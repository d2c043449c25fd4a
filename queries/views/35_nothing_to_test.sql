-- One row an SAE, a concept and a metric without a tested token because there was none to test: it has no candidates, or
-- where those were not counted, other concepts of the SAE have tested tokens. Elsewhere a concept without any is unknown, or
-- undefined, or was published. `is_tested`: tokens of the SAE were, so that this holds at any threshold.
CREATE TABLE nothing_to_test AS
SELECT pair, metric, coalesce(is_tested, false) AS is_tested, CAST(0 AS BIGINT) AS zero
FROM measured
LEFT JOIN (SELECT *, true AS is_tested FROM tested_saes)
    USING (suite, sae, metric)
WHERE undefined IS NULL AND coalesce(num_candidates = 0, is_tested) AND coalesce(num_absorbed, 0) = 0 AND absorption_rate IS NULL;
