-- One row a suite and a metric that it was measured by: whether tokens have a verdict by it (`judges`), by how many
-- of the suite's they have, and whether a threshold moves anything of it. tau needs ranked latents and a verdict,
-- the other two the scores of tested tokens (without those, verdicts stand as published): the cosine threshold their
-- cosines, too, and the effect margin their effects, which only an ablation has.
CREATE TABLE movable AS
SELECT *, count(*) FILTER (judges) OVER (PARTITION BY suite) AS num_judging
FROM (
    SELECT suite, suite_number, metric,
        metric <> 'fraction' AND EXISTS (FROM scores WHERE scores.suite = measured.suite
            AND (judged_by = metric OR CASE metric
            WHEN 'full' THEN projection IS NOT NULL AND total_projection IS NOT NULL
            WHEN 'ig_ablation' THEN top_effect IS NOT NULL END)) AS judges,
        metric <> 'fraction' AND EXISTS (FROM ranks WHERE ranks.suite = measured.suite) AS tau,
        CASE metric
            WHEN 'full' THEN EXISTS (FROM scores WHERE scores.suite = measured.suite
                AND total_projection IS NOT NULL AND projection IS NOT NULL AND projected_cosine IS NOT NULL)
            WHEN 'fraction' THEN false
            ELSE EXISTS (FROM scores WHERE scores.suite = measured.suite
                AND (metric = 'ig_ablation' OR judged_by = metric)
                AND top_effect IS NOT NULL AND top_cosine IS NOT NULL) END AS cosine_threshold,
        metric NOT IN ('full', 'fraction') AND EXISTS (FROM scores WHERE scores.suite = measured.suite
            AND (metric = 'ig_ablation' OR judged_by = metric) AND top_effect IS NOT NULL) AS effect_margin
    FROM (SELECT DISTINCT suite, suite_number, metric FROM measured) AS measured
);
