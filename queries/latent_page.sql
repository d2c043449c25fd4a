-- At most one row: the latent's imported HTML page, as it was published.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER
-- columns: html VARCHAR
SELECT html
FROM dashboards
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent
