-- One row per suite and metric, the suite's own first: whether tokens have a verdict by it, and whether any threshold
-- affects it.
-- columns: suite VARCHAR, metric VARCHAR, judges BOOLEAN, tau BOOLEAN, cosine_threshold BOOLEAN, effect_margin BOOLEAN
SELECT movable.suite, movable.metric, movable.judges, movable.tau, movable.cosine_threshold, movable.effect_margin
FROM movable
JOIN suites USING (suite)
ORDER BY movable.suite, movable.metric <> suites.metric, movable.metric
