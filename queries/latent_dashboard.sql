-- At most one row, if the suite keeps the HTML page from which the latent's evidence was imported.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: latent INTEGER
SELECT latent
FROM dashboards
WHERE suite = $suite AND sae = $sae AND latent = $latent
