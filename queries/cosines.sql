-- One row a latent: the cosine of its decoder row with the letter's probe, in the order of the latents.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, letter VARCHAR
-- columns: latent INTEGER, cosine FLOAT
SELECT latent, cosine
FROM cosines($suite, $layer, $width, $l0)
WHERE letter = $letter
ORDER BY latent
