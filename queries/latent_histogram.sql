-- At most one row: the latent's activations on text in equal bins from low to high; silent tokens are not counted.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: low FLOAT, high FLOAT, counts INTEGER[]
SELECT low, high, counts
FROM histograms
WHERE suite = $suite AND sae = $sae AND latent = $latent
