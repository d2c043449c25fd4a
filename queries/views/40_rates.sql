-- One row an SAE and a concept, of one family or where that is NULL of all: counts, and the absorption rate with its
-- interval, under the given thresholds.
-- Numbers that were published without the tokens or latents behind them stand where nothing can be counted. A concept without
-- candidates has none absorbed; whether candidates of which none was tested are, is unknown.
CREATE MACRO rates(in_family, tau, cosine_threshold, effect_margin) AS TABLE
SELECT *,
    num_absorbed / sample_portion / nullif(num_probe_true_positives, 0) AS absorption_rate,
    wilson(num_absorbed / sample_portion, num_probe_true_positives) AS absorption_interval
FROM (
    SELECT measured.* EXCLUDE (tau_published, ranked_latents, ranked_rises) REPLACE (
            coalesce(nullif(sample_portion, 0), 1) AS sample_portion,
            split_at(tau, tau_published, split_latents, ranked_latents, ranked_rises) AS split_latents,
            coalesce(len(split_at(tau, tau_published, split_latents, ranked_latents, ranked_rises)), num_split_latents)
                AS num_split_latents,
            coalesce(counted.num_absorbed, measured.num_absorbed, nothing.zero) AS num_absorbed
        ),
        measured.split_latents AS split_latents_published,
        measured.num_absorbed AS num_absorbed_published,
        coalesce(counted.num_absorbing_latents, nothing.zero) AS num_absorbing_latents,
        coalesce(counted.num_rows, nothing.zero) AS num_rows
    FROM measured
    LEFT JOIN (
        SELECT suite, sae, concept,
            count(*) AS num_rows,
            count(*) FILTER (absorbed) AS num_absorbed,
            count(DISTINCT top_latent) FILTER (absorbed) AS num_absorbing_latents
        FROM verdicts(tau, cosine_threshold, effect_margin)
        WHERE in_family IS NULL OR family = in_family
        GROUP BY ALL
    ) AS counted USING (suite, sae, concept)
    LEFT JOIN nothing_to_test AS nothing USING (suite, sae, concept)
    WHERE in_family IS NULL OR measured.family = in_family
);
