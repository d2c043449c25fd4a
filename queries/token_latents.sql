-- One row per latent ranked on a tested token, by its effect or its projection on the probe; if token is NULL, for all
-- tokens of the concept.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, token VARCHAR
-- columns: token VARCHAR, latent INTEGER, effect FLOAT, projection FLOAT, activation FLOAT, cosine FLOAT
SELECT token, latent, effect, projection, activation, cosine
FROM (
    SELECT token, generate_subscripts(latents, 1) AS place, unnest(latents) AS latent,
        unnest(effects) AS effect, unnest(projections) AS projection, unnest(activations) AS activation, unnest(cosines) AS cosine
    FROM tested_tokens
    WHERE suite = $suite AND sae = $sae AND concept = $concept
        AND ($token IS NULL OR token = $token)
)
ORDER BY token, place
