-- One row per token and metric by which it was tested, with the verdict at the given thresholds and each of its
-- conditions; for one metric, or for all that give verdicts if it is NULL. `silent`: no split latent at this tau is
-- among the token's active latents. `is_decided`: stored scores decide; a row without scores keeps its published
-- verdict. A fraction gives no verdict. `is_moved`: the fraction differs from that at this tau, which is in view
-- fractions. top_latent is the latent that could absorb, with its own values: the one with the most negative effect,
-- or, for metrics by projection, with the largest projection, which has no runner-up.
CREATE MACRO verdicts(by_metric, tau, cosine_threshold, effect_margin) AS TABLE
SELECT * REPLACE (
        CASE WHEN metric = 'full' THEN projected_latent ELSE top_latent END AS top_latent,
        CASE WHEN metric = 'full' THEN projected_cosine ELSE top_cosine END AS top_cosine,
        CASE WHEN metric = 'full' THEN projected_effect ELSE top_effect END AS top_effect,
        CASE WHEN metric <> 'full' THEN second_latent END AS second_latent,
        CASE WHEN metric <> 'full' THEN second_effect END AS second_effect,
        CASE WHEN metric <> 'full' THEN second_cosine END AS second_cosine,
        CASE WHEN metric <> 'full' THEN margin END AS margin
    ),
    CASE WHEN is_fraction(metric) THEN NULL
        WHEN NOT is_decided THEN is_absorption
        WHEN metric = 'full'
            THEN full_absorption(silent, projection, total_projection, projected_cosine, cosine_threshold)
        ELSE ablation(silent, top_effect, margin, top_cosine, cosine_threshold, effect_margin) END AS absorbed
FROM (
    SELECT scores.* EXCLUDE (fraction_0_3, is_ranked)
            REPLACE (CASE WHEN metric = 'fraction-0.3' THEN fraction_0_3 ELSE fraction END AS fraction),
        metric, num_judging, moves_tau AND is_ranked AND tau <> tau_published AS is_moved,
        CASE WHEN tau = tau_published THEN NOT fires_published ELSE tau >= silent_from END AS silent,
        CASE metric WHEN 'ig_ablation' THEN top_effect IS NOT NULL
            WHEN 'full' THEN projection IS NOT NULL AND total_projection IS NOT NULL
            ELSE judged_by = metric AND top_effect IS NOT NULL AND NOT is_fraction(metric) END AS is_decided
    FROM scores
    JOIN (SELECT suite_number, metric, judges, num_judging, movable.tau AS moves_tau FROM movable) USING (suite_number)
    WHERE metric = by_metric OR (by_metric IS NULL AND judges)
)
WHERE is_decided OR judged_by = metric OR (is_fraction(metric) AND fraction IS NOT NULL);
