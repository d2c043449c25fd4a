-- The rate of a concept in a mean: 0 if the probe finds no token, or if there was nothing to test. NULL: unknown.
CREATE MACRO rate_in_mean(absorption_rate, num_probe_true_positives, num_rows) AS
    coalesce(absorption_rate, CASE WHEN num_probe_true_positives = 0 OR num_rows = 0 THEN 0 END);
