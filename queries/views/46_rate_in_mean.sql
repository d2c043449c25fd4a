-- The rate that a concept has in a mean: 0 where the probe finds no token, or where there was nothing to test. NULL: unknown.
CREATE MACRO rate_in_mean(absorption_rate, num_probe_true_positives, num_rows) AS
    coalesce(absorption_rate, CASE WHEN num_probe_true_positives = 0 OR num_rows = 0 THEN 0 END);
