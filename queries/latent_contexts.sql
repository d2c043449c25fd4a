-- One row a text window in which the latent fires, strongest first.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER
-- columns: rank INTEGER, activation FLOAT, tokens VARCHAR[], activations FLOAT[], position INTEGER, source VARCHAR
SELECT rank, activation, tokens, activations, position, source
FROM contexts
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent
ORDER BY rank
