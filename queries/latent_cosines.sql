-- One row a letter: the latent's cosine with that letter's probe.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER
-- columns: letter VARCHAR, cosine FLOAT
SELECT letter, cosine
FROM cosines($suite, $layer, $width, $l0)
WHERE latent = $latent
ORDER BY letter
