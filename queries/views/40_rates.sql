-- One row per SAE and concept for which a metric was measured, of one family or, if it is NULL, of all: counts, and the
-- absorption rate with its interval, at the given thresholds. Numbers published without their tokens or latents are
-- used if nothing can be counted, at the thresholds for which they were published; at others they are unknown, except
-- for a threshold without effect. A concept without candidates has zero absorbed tokens; if it has candidates of which
-- none was tested, the number is unknown. A fraction is the published mean over the probe's true positives, or, if each
-- true positive with an active latent has a row, the mean over these; it is 0 on the others. If a rate is undefined,
-- nothing is counted, and the rate is not 0 even if the probe finds nothing. The interval is the published one at these
-- thresholds, otherwise Wilson's, with n = true positives times sample portion.
CREATE MACRO rates(by_metric, in_family, tau, cosine_threshold, effect_margin) AS TABLE
SELECT * EXCLUDE (interval_published) REPLACE (
        CASE WHEN is_fraction(by_metric)
            THEN coalesce(absorption_fraction, CASE WHEN num_rows IN (num_candidates, num_probe_true_positives)
                THEN fraction / nullif(num_probe_true_positives, 0) END)
            ELSE coalesce(num_absorbed / sample_portion / nullif(num_probe_true_positives, 0), absorption_rate) END
            AS absorption_rate
    ),
    coalesce(interval_published, CASE WHEN NOT is_fraction(by_metric) THEN wilson(
        coalesce(num_absorbed, absorption_rate * num_probe_true_positives * sample_portion),
        num_probe_true_positives * sample_portion
    ) END) AS absorption_interval
FROM (
    SELECT measured.* EXCLUDE (
            tau_published, cosine_published, margin_published, ranked_latents, ranked_rises, is_own
        ) REPLACE (
            coalesce(nullif(sample_portion, 0), 1) AS sample_portion,
            CASE WHEN undefined IS NULL OR num_probe_true_positives > 0 THEN num_probe_true_positives END
                AS num_probe_true_positives,
            split_at(tau, tau_published, split_latents, ranked_latents, ranked_rises) AS split_latents,
            coalesce(len(split_at(tau, tau_published, split_latents, ranked_latents, ranked_rises)), num_split_latents)
                AS num_split_latents,
            CASE WHEN NOT is_fraction(by_metric)
                THEN coalesce(counted.num_absorbed, CASE WHEN is_own THEN measured.num_absorbed END, nothing.zero) END
                AS num_absorbed,
            CASE WHEN is_own THEN measured.absorption_rate END AS absorption_rate,
            CASE WHEN is_own THEN measured.random_rate END AS random_rate,
            CASE WHEN is_own OR NOT is_fraction(by_metric) THEN measured.absorption_fraction END AS absorption_fraction
        ),
        measured.split_latents AS split_latents_published,
        CASE WHEN is_own AND rate_low IS NOT NULL THEN {'low': rate_low, 'high': rate_high} END AS interval_published,
        is_own AND (measured.num_absorbed IS NOT NULL OR measured.absorption_rate IS NOT NULL
            OR (is_fraction(by_metric) AND measured.absorption_fraction IS NOT NULL)) AS is_published,
        CASE WHEN NOT is_fraction(by_metric) THEN coalesce(counted.num_absorbing_latents, nothing.zero) END
            AS num_absorbing_latents,
        coalesce(counted.num_rows, nothing.zero) AS num_rows,
        counted.fraction
    FROM (
        SELECT measured.*,
            (tau = tau_published OR NOT moves.tau)
                AND (cosine_threshold = cosine_published OR NOT moves.cosine_threshold)
                AND (effect_margin = margin_published OR NOT moves.effect_margin) AS is_own
        FROM measured
        JOIN movable AS moves USING (suite, metric)
        WHERE metric = by_metric AND (in_family IS NULL OR family = in_family)
    ) AS measured
    LEFT JOIN (
        SELECT pair,
            count(*) AS num_rows,
            count(*) FILTER (absorbed) AS num_absorbed,
            count(DISTINCT top_latent) FILTER (absorbed) AS num_absorbing_latents,
            CASE WHEN count(*) = count(fraction) THEN sum(fraction) END AS fraction
        FROM current_verdicts(by_metric, tau, cosine_threshold, effect_margin)
        WHERE in_family IS NULL OR family = in_family
        GROUP BY ALL
    ) AS counted USING (pair)
    LEFT JOIN nothing_to_test AS nothing
        ON nothing.pair = measured.pair AND nothing.metric = measured.metric AND (is_own OR nothing.is_tested)
);
