-- One row per suite and metric: whether tokens have a verdict by it (`judges`), by how many of the suite's metrics they
-- have one, and whether each threshold affects it. tau requires ranked latents and verdicts; the other two require the
-- scores of tested tokens (otherwise the published verdicts are used): the cosine threshold their cosines, and the
-- effect margin their effects, which only an ablation has. A fraction has fixed thresholds of its own; tau affects it
-- if the projections for any tau are stored.
CREATE TABLE movable AS
SELECT *, count(*) FILTER (judges) OVER (PARTITION BY suite) AS num_judging
FROM (
    SELECT suite, suite_number, metric,
        NOT is_fraction(metric) AND EXISTS (FROM scores WHERE scores.suite = measured.suite
            AND (judged_by = metric OR CASE metric
            WHEN 'full' THEN projection IS NOT NULL AND total_projection IS NOT NULL
            WHEN 'ig_ablation' THEN top_effect IS NOT NULL END)) AS judges,
        EXISTS (FROM ranks WHERE ranks.suite = measured.suite) AND (NOT is_fraction(metric)
            OR EXISTS (FROM scores WHERE scores.suite = measured.suite AND latents_projection IS NOT NULL)) AS tau,
        CASE WHEN is_fraction(metric) THEN false
            WHEN metric = 'full' THEN EXISTS (FROM scores WHERE scores.suite = measured.suite
                AND total_projection IS NOT NULL AND projection IS NOT NULL AND projected_cosine IS NOT NULL)
            ELSE EXISTS (FROM scores WHERE scores.suite = measured.suite
                AND (metric = 'ig_ablation' OR judged_by = metric)
                AND top_effect IS NOT NULL AND top_cosine IS NOT NULL) END AS cosine_threshold,
        metric <> 'full' AND NOT is_fraction(metric) AND EXISTS (FROM scores WHERE scores.suite = measured.suite
            AND (metric = 'ig_ablation' OR judged_by = metric) AND top_effect IS NOT NULL) AS effect_margin
    FROM (SELECT DISTINCT suite, suite_number, metric FROM measured) AS measured
);
