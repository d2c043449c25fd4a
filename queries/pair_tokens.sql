-- One row per token of the concept that is absorbed on at least one of two SAEs, which may be from two suites, with the
-- absorbing latent on each (NULL: not absorbed).
-- params: suite VARCHAR, sae VARCHAR, other_suite VARCHAR, other_sae VARCHAR, concept VARCHAR, metric VARCHAR, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: token VARCHAR, latent INTEGER, effect FLOAT, other_latent INTEGER, other_effect FLOAT
WITH absorbed AS (
    SELECT suite, sae, token, top_latent AS latent, top_effect AS effect
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite IN ($suite, $other_suite) AND sae IN ($sae, $other_sae) AND concept = $concept AND absorbed
)
SELECT coalesce(this.token, other.token) AS token, this.latent, this.effect,
    other.latent AS other_latent, other.effect AS other_effect
FROM (FROM absorbed WHERE suite = $suite AND sae = $sae) AS this
FULL JOIN (FROM absorbed WHERE suite = $other_suite AND sae = $other_sae) AS other USING (token)
ORDER BY coalesce(this.effect, other.effect), token
