-- One row per tested token: its absorption fraction by `by_metric` at a tau other than the suite's own; no rows if
-- by_metric is not a fraction.
CREATE MACRO fractions(by_metric, tau) AS TABLE
SELECT token_row,
    fraction_by(by_metric, main_projection, absorbing_projection, latents_projection, total_projection) AS fraction
FROM carried(tau)
WHERE is_fraction(by_metric) AND NOT stands;
