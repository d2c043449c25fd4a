-- The rows of `verdicts`, with the absorption fraction at this tau.
CREATE MACRO current_verdicts(by_metric, tau, cosine_threshold, effect_margin) AS TABLE
SELECT verdicts.* REPLACE (CASE WHEN is_moved THEN moved.fraction ELSE verdicts.fraction END AS fraction)
FROM verdicts(by_metric, tau, cosine_threshold, effect_margin) AS verdicts
LEFT JOIN fractions(by_metric, tau) AS moved USING (token_row);
