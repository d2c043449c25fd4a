-- One row a letter: the latent's cosine with that letter's probe.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: letter VARCHAR, cosine FLOAT
SELECT letter_of(concept) AS letter, cosine
FROM cosines($suite, [$sae])
WHERE latent = $latent
ORDER BY concept
