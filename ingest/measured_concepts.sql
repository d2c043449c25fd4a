-- One row per SAE, concept and metric that measurements or tested tokens name: the measurement, its tested tokens counted
-- where it does not say how many there are.
SELECT * EXCLUDE (num_rows) REPLACE (coalesce(num_tested, num_rows) AS num_tested)
FROM measurements
FULL JOIN (
    SELECT sae, concept, metric, CAST(count(*) AS INTEGER) AS num_rows
    FROM tested
    GROUP BY ALL
) AS counted USING (sae, concept, metric)
