-- One row: the contents of a suite at the given thresholds. Absorbing latents are counted once per SAE.
-- n_absorbed_published: absorbed tokens of which only the number was published. n_uncounted: pairs of an SAE and a
-- concept whose number is unknown. NULL: unknown, because nothing is stored.
-- params: suite VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: n_saes BIGINT, n_saes_tested BIGINT, n_letters BIGINT, n_concepts BIGINT, n_latents_max INTEGER, n_tested_tokens BIGINT, n_absorbed_tokens BIGINT,
--          n_absorbing_latents BIGINT, n_absorbed_published BIGINT, n_uncounted BIGINT, cosines BOOLEAN, examples BOOLEAN,
--          activations BOOLEAN, dashboards BOOLEAN
SELECT n_saes, n_saes_tested, n_letters, n_concepts, n_latents_max, n_tested_tokens, n_absorbed_tokens,
    CASE WHEN n_tested_tokens IS NOT NULL THEN n_absorbing END AS n_absorbing_latents,
    n_absorbed_published, n_uncounted, cosines, examples, activations, dashboards
FROM (
    SELECT count(*) AS n_saes, CASE WHEN bool_and(n_latents_counted) THEN max(n_latents) END AS n_latents_max,
        coalesce(bool_or(cosines), false) AS cosines
    FROM saes
    WHERE suite = $suite
), (
    SELECT count(DISTINCT concept) AS n_concepts,
        count(DISTINCT concept) FILTER (family = 'first-letter') AS n_letters,
        count(DISTINCT sae) FILTER (num_rows > 0) AS n_saes_tested,
        CAST(sum(num_rows) AS BIGINT) AS n_tested_tokens,
        CAST(sum(num_absorbed) AS BIGINT) AS n_absorbed_tokens,
        CAST(sum(num_absorbed) FILTER (num_rows IS NULL) AS BIGINT) AS n_absorbed_published,
        count(*) FILTER (num_absorbed IS NULL) AS n_uncounted
    FROM rates($metric, NULL, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite
), (
    SELECT count(*) AS n_absorbing
    FROM (
        SELECT sae_number, top_latent
        FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
        WHERE suite = $suite AND absorbed
        GROUP BY ALL
    )
), (
    SELECT EXISTS (FROM contexts WHERE suite = $suite) AS examples,
        EXISTS (FROM token_activations WHERE suite = $suite) AS activations,
        EXISTS (FROM dashboards WHERE suite = $suite) AS dashboards
)
