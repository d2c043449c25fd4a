-- One row per concept: the latent's cosine with that concept's probe.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: concept VARCHAR, cosine FLOAT
SELECT concept, cosine
FROM cosines($suite, [$sae])
WHERE latent = $latent
ORDER BY concept
