-- At most one row: the latent's imported HTML page, unchanged.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: html VARCHAR
SELECT html
FROM dashboards
WHERE suite = $suite AND sae = $sae AND latent = $latent
