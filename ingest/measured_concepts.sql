-- One row per SAE, concept and metric in measurements or tested tokens: the measurement. If num_tested is missing, it is
-- the number of tested tokens.
SELECT * EXCLUDE (num_rows) REPLACE (coalesce(num_tested, num_rows) AS num_tested)
FROM measurements
FULL JOIN (
    SELECT sae, concept, metric, CAST(count(*) AS INTEGER) AS num_rows
    FROM tested
    GROUP BY ALL
) AS counted USING (sae, concept, metric)
