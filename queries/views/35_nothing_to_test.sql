-- One row per SAE, concept and metric without tested tokens because there was nothing to test: the concept has no
-- candidates, or, if candidates were not counted, other concepts of the SAE have tested tokens. Any other concept
-- without tested tokens is unknown, undefined or published as a number. `is_tested`: the SAE has tested tokens, so that
-- this holds at any threshold.
CREATE TABLE nothing_to_test AS
SELECT pair, metric, coalesce(is_tested, false) AS is_tested, CAST(0 AS BIGINT) AS zero
FROM measured
LEFT JOIN (SELECT *, true AS is_tested FROM tested_saes)
    USING (suite, sae, metric)
WHERE undefined IS NULL AND coalesce(num_candidates = 0, is_tested) AND coalesce(num_absorbed, 0) = 0 AND absorption_rate IS NULL;
