-- One row: what a suite holds, at the given thresholds. Absorbing latents are counted once per SAE. Where tokens are
-- absent, their published number counts; what is known of no letter, or which latents absorb them, is NULL.
-- params: suite VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: n_saes BIGINT, n_letters BIGINT, n_latents_max INTEGER, n_tested_tokens BIGINT, n_absorbed_tokens BIGINT,
--          n_absorbing_latents BIGINT, cosines BOOLEAN, examples BOOLEAN, activations BOOLEAN, dashboards BOOLEAN
SELECT n_saes, n_letters, n_latents_max, n_tested_tokens, n_absorbed_tokens,
    CASE WHEN all_latents_known THEN n_latents_known END AS n_absorbing_latents,
    cosines, examples, activations, dashboards
FROM (
    SELECT count(*) AS n_saes, max(n_latents) AS n_latents_max, coalesce(bool_or(cosines), false) AS cosines
    FROM saes
    WHERE suite = $suite
), (
    SELECT count(DISTINCT letter) AS n_letters,
        CAST(sum(num_rows) AS BIGINT) AS n_tested_tokens,
        CAST(sum(num_absorbed) AS BIGINT) AS n_absorbed_tokens,
        coalesce(bool_and(num_absorbing_latents IS NOT NULL), true) AS all_latents_known
    FROM rates($tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite
), (
    SELECT count(DISTINCT (layer, width, l0, top_latent)) FILTER (absorbed) AS n_latents_known
    FROM verdicts($tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite
), (
    SELECT EXISTS (FROM contexts WHERE suite = $suite) AS examples,
        EXISTS (FROM token_activations WHERE suite = $suite) AS activations,
        EXISTS (FROM dashboards WHERE suite = $suite) AS dashboards
)
