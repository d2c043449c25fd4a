-- At most one row, where the suite keeps the HTML page that the latent's evidence was imported from.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER
-- columns: latent INTEGER
SELECT latent
FROM dashboards
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent
