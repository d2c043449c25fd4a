-- One row per latent, in order: the cosine of its decoder row with the concept's probe.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR
-- columns: latent INTEGER, cosine FLOAT
SELECT latent, cosine
FROM cosines($suite, [$sae])
WHERE concept = $concept
ORDER BY latent
