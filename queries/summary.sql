-- One row per concept of a family: all results on one SAE. The main latent is the first latent of k-sparse probing.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, concept VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- together: concept
-- columns: concept VARCHAR, main_latent INTEGER, main_precision DOUBLE, main_recall DOUBLE, main_f1 DOUBLE,
--          probe_precision DOUBLE, probe_recall DOUBLE, probe_f1 DOUBLE,
--          split_latents INTEGER[], num_split_latents BIGINT, stored_split BOOLEAN,
--          num_probe_true_positives INTEGER, num_true_positives INTEGER, num_split_silent INTEGER,
--          num_candidates INTEGER, num_tested BIGINT, sample_portion DOUBLE, num_absorbed BIGINT,
--          num_absorbing_latents BIGINT, absorption_rate DOUBLE, rate_low DOUBLE, rate_high DOUBLE,
--          random_rate DOUBLE, absorption_fraction DOUBLE, metric_version VARCHAR, undefined VARCHAR
SELECT rates.concept,
    rates.split_latents[1] AS main_latent,
    main.precision AS main_precision,
    main.recall AS main_recall,
    main.f1 AS main_f1,
    rates.probe_precision,
    rates.probe_recall,
    rates.probe_f1,
    coalesce(rates.split_latents, []) AS split_latents,
    CAST(rates.num_split_latents AS BIGINT) AS num_split_latents,
    rates.split_latents = rates.split_latents_published AS stored_split,
    rates.num_probe_true_positives,
    rates.num_true_positives,
    rates.num_split_silent,
    rates.num_candidates,
    CAST(coalesce(rates.num_tested, nullif(rates.num_rows, 0),
        CASE WHEN NOT rates.is_published THEN rates.num_rows END) AS BIGINT) AS num_tested,
    rates.sample_portion,
    rates.num_absorbed,
    rates.num_absorbing_latents,
    rates.absorption_rate,
    rates.absorption_interval.low AS rate_low,
    rates.absorption_interval.high AS rate_high,
    rates.random_rate,
    rates.absorption_fraction,
    rates.metric_version,
    rates.undefined
FROM (
    SELECT *
    FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND sae = $sae AND ($concept IS NULL OR concept = $concept)
) AS rates
LEFT JOIN k_sparse AS main
    ON main.suite = rates.suite AND main.sae = rates.sae AND main.concept = rates.concept AND main.k = 1
