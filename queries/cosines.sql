-- One row a latent: the cosine of its decoder row with the letter's probe, in the order of the latents.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, letter VARCHAR
-- columns: latent INTEGER, cosine FLOAT
SELECT latent, cosine
FROM cosines
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND letter = $letter
ORDER BY latent
