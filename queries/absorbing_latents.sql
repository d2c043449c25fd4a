-- One row per absorbing latent of a concept on one SAE: most tokens first, then the strongest mean effect. tokens: the
-- tokens that it absorbs, strongest effect first. effects: their effects, NaN if none was published. cosine: the mean over
-- these tokens, because cross-fitted words have different probes.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- together: concept
-- columns: concept VARCHAR, latent INTEGER, num_tokens BIGINT, mean_effect DOUBLE, cosine FLOAT, tokens VARCHAR[],
--          effects FLOAT[], density FLOAT, num_vocab_tokens INTEGER
SELECT absorbing.*, latents.density, latents.num_vocab_tokens
FROM (
    SELECT concept, top_latent AS latent, count(*) AS num_tokens, avg(top_effect) AS mean_effect,
        avg(top_cosine)::FLOAT AS cosine, list(token ORDER BY top_effect, token) AS tokens,
        list(coalesce(top_effect, 'NaN'::FLOAT) ORDER BY top_effect, token) AS effects
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND sae = $sae AND ($concept IS NULL OR concept = $concept) AND absorbed
    GROUP BY concept, top_latent
) AS absorbing
LEFT JOIN (
    SELECT latent, density, num_vocab_tokens
    FROM latents
    WHERE suite = $suite AND sae = $sae
) AS latents USING (latent)
ORDER BY num_tokens DESC, mean_effect, latent
