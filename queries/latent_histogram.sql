-- At most one row: the latent's activations on text in equal bins from low to high; silent tokens are not counted.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER
-- columns: low FLOAT, high FLOAT, counts INTEGER[]
SELECT low, high, counts
FROM histograms
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent
