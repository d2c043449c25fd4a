-- One row an SAE and a metric by which tokens of it were tested, computed once, when the store opens.
CREATE TABLE tested_saes AS
SELECT DISTINCT suite, sae, judged_by AS metric
FROM scores;
