-- One row a suite that has tested tokens: there, a letter without any has none absorbed; elsewhere that is unknown.
CREATE TABLE tested_suites AS
SELECT DISTINCT suite, CAST(0 AS BIGINT) AS zero
FROM tested_tokens;
