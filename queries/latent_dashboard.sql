-- At most one row, where the suite keeps the HTML page that the latent's evidence was imported from.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: latent INTEGER
SELECT latent
FROM dashboards
WHERE suite = $suite AND sae = $sae AND latent = $latent
