-- One row an SAE and a concept without a tested token because there was none to test: it has no candidates, or where those were
-- not counted, other concepts of the SAE have tested tokens. Elsewhere a concept without any is unknown, or was published.
CREATE TABLE nothing_to_test AS
SELECT suite, sae, concept, CAST(0 AS BIGINT) AS zero
FROM measurements
LEFT JOIN (SELECT DISTINCT suite, sae, true AS is_tested FROM tested_tokens)
    USING (suite, sae)
WHERE coalesce(num_candidates = 0, is_tested) AND coalesce(num_absorbed, 0) = 0;
