-- One row per metric by which a tested token was measured, with the values that decide by it; if token is NULL, for all
-- tokens of the concept. reason: see functions/reason.sql. A fraction has no top latent; its values are the projections
-- on the probe of split latents, absorbing latents, all latents and the whole activation, at this tau. projected_share:
-- projection divided by the token's total projection, if that is positive.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, token VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: token VARCHAR, metric VARCHAR, absorbed BOOLEAN, reason VARCHAR, top_latent INTEGER, top_effect FLOAT,
--          top_cosine FLOAT, margin FLOAT, projection FLOAT, projected_share FLOAT, fraction FLOAT,
--          main_projection DOUBLE, absorbing_projection DOUBLE, latents_projection FLOAT, total_projection FLOAT
WITH judged AS (
    FROM verdicts(NULL, $tau, $cosine_threshold, $effect_margin)
    UNION ALL
    FROM verdicts('fraction', $tau, $cosine_threshold, $effect_margin)
    UNION ALL
    FROM verdicts('fraction-0.3', $tau, $cosine_threshold, $effect_margin)
)
SELECT judged.token, metric, absorbed,
    reason(metric, is_decided, absorbed, silent, top_effect, margin, top_cosine, $cosine_threshold, $effect_margin) AS reason,
    CASE WHEN NOT is_fraction(metric) THEN top_latent END AS top_latent,
    CASE WHEN NOT is_fraction(metric) THEN top_effect END AS top_effect,
    CASE WHEN NOT is_fraction(metric) THEN top_cosine END AS top_cosine,
    CASE WHEN NOT is_fraction(metric) THEN margin END AS margin,
    CASE WHEN metric = 'full' THEN projection END AS projection,
    CAST(CASE WHEN metric = 'full' AND judged.total_projection > 0 THEN projection / judged.total_projection END AS FLOAT)
        AS projected_share,
    CAST(CASE WHEN NOT is_fraction(metric) THEN NULL
        WHEN is_moved THEN fraction_by(metric, carried.main_projection, carried.absorbing_projection,
            carried.latents_projection, carried.total_projection)
        ELSE fraction END AS FLOAT) AS fraction,
    CASE WHEN is_fraction(metric) THEN CAST(carried.main_projection AS DOUBLE) END AS main_projection,
    CASE WHEN is_fraction(metric) THEN CAST(carried.absorbing_projection AS DOUBLE) END AS absorbing_projection,
    CASE WHEN is_fraction(metric) THEN carried.latents_projection END AS latents_projection,
    CASE WHEN is_fraction(metric) THEN carried.total_projection END AS total_projection
FROM judged
LEFT JOIN carried($tau) AS carried USING (token_row)
WHERE judged.suite = $suite AND judged.sae = $sae AND judged.concept = $concept AND ($token IS NULL OR judged.token = $token)
ORDER BY judged.token, list_position(['ig_ablation', 'full', 'fraction', 'fraction-0.3'], metric) NULLS LAST, metric
