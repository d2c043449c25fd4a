-- One row a suite and a metric that it was measured by, its own first: whether a threshold moves anything of it. tau needs
-- ranked latents, the other two the scores of tested tokens (without those, verdicts stand as published): the cosine
-- threshold their cosines, too, and the effect margin their effects, which only an ablation has.
-- columns: suite VARCHAR, metric VARCHAR, tau BOOLEAN, cosine_threshold BOOLEAN, effect_margin BOOLEAN
SELECT measured.suite, measured.metric,
    EXISTS (FROM ranks WHERE ranks.suite = measured.suite) AS tau,
    CASE measured.metric
        WHEN 'full' THEN EXISTS (FROM scores WHERE scores.suite = measured.suite
            AND total_projection IS NOT NULL AND projection IS NOT NULL AND projected_cosine IS NOT NULL)
        WHEN 'fraction' THEN false
        ELSE EXISTS (FROM scores WHERE scores.suite = measured.suite
            AND (measured.metric = 'ig_ablation' OR judged_by = measured.metric)
            AND top_effect IS NOT NULL AND top_cosine IS NOT NULL) END AS cosine_threshold,
    measured.metric NOT IN ('full', 'fraction') AND EXISTS (FROM scores WHERE scores.suite = measured.suite
        AND (measured.metric = 'ig_ablation' OR judged_by = measured.metric) AND top_effect IS NOT NULL) AS effect_margin
FROM (SELECT DISTINCT suite, metric FROM measured) AS measured
JOIN suites USING (suite)
ORDER BY measured.suite, measured.metric <> suites.metric, measured.metric
