-- Two SAEs of the suite that differ mainly in width: same layer, hook and architecture, and L0s that differ by at most a
-- quarter; of several such pairs, the one whose wider SAE has the most absorbed tokens. Rates are means over the concepts of
-- a family. `concept` is the one with the most absorbed tokens on the wider SAE. num_pairs counts all such pairs, num_higher
-- those whose wider SAE has the higher rate.
-- params: suite VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE,
--         mean_policy VARCHAR
-- columns: sae VARCHAR, wider_sae VARCHAR, layer INTEGER, width INTEGER, wider_width INTEGER, l0 DOUBLE, wider_l0 DOUBLE,
--          absorption_rate DOUBLE, wider_absorption_rate DOUBLE, num_absorbed BIGINT, wider_num_absorbed BIGINT,
--          variance_explained DOUBLE, wider_variance_explained DOUBLE, concept VARCHAR, num_absorbed_of_concept BIGINT,
--          wider_num_absorbed_of_concept BIGINT, num_pairs BIGINT, num_higher BIGINT
WITH means AS (
    SELECT saes.*, means.absorption_rate, means.num_absorbed
    FROM sae_means($metric, $family, $tau, $cosine_threshold, $effect_margin, $mean_policy) AS means
    JOIN saes USING (suite, sae)
    WHERE suite = $suite AND saes.repeat_of IS NULL AND means.absorption_rate IS NOT NULL
),
pairs AS (
    SELECT narrow.sae, wide.sae AS wider_sae, narrow.layer, narrow.width, wide.width AS wider_width, narrow.l0,
        wide.l0 AS wider_l0, narrow.absorption_rate, wide.absorption_rate AS wider_absorption_rate,
        narrow.num_absorbed, wide.num_absorbed AS wider_num_absorbed,
        narrow.variance_explained, wide.variance_explained AS wider_variance_explained
    FROM means AS narrow
    JOIN means AS wide
        ON wide.width > narrow.width AND wide.layer IS NOT DISTINCT FROM narrow.layer
        AND wide.hook IS NOT DISTINCT FROM narrow.hook AND wide.architecture IS NOT DISTINCT FROM narrow.architecture
        AND wide.l0 BETWEEN 0.75 * narrow.l0 AND 1.25 * narrow.l0
),
counts AS (
    SELECT sae, concept, num_absorbed
    FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite
),
best AS (
    FROM pairs
    ORDER BY wider_num_absorbed DESC NULLS LAST, wider_width / width DESC, sae, wider_sae
    LIMIT 1
)
SELECT best.*, on_wide.concept, on_narrow.num_absorbed AS num_absorbed_of_concept,
    on_wide.num_absorbed AS wider_num_absorbed_of_concept,
    (SELECT count(*) FROM pairs) AS num_pairs,
    (SELECT count(*) FROM pairs WHERE wider_absorption_rate > absorption_rate) AS num_higher
FROM best
JOIN counts AS on_wide ON on_wide.sae = best.wider_sae
JOIN counts AS on_narrow ON on_narrow.sae = best.sae AND on_narrow.concept = on_wide.concept
ORDER BY on_wide.num_absorbed DESC NULLS LAST, on_wide.concept
LIMIT 1
