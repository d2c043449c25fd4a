-- One row per SAE and metric that has tested tokens, computed once when the store opens.
CREATE TABLE tested_saes AS
SELECT DISTINCT suite, sae, judged_by AS metric
FROM scores;
