-- At most one row: where the latent's imported HTML page lies in the suite's folder.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER
-- columns: path VARCHAR
SELECT path
FROM dashboards
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent
