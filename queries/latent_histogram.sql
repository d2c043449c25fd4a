-- At most one row: the latent's activations on text in equal bins from low to high; tokens on which it is silent are
-- not counted.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: low FLOAT, high FLOAT, counts INTEGER[]
SELECT low, high, counts
FROM histograms
WHERE suite = $suite AND sae = $sae AND latent = $latent
