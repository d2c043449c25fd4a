-- One row per text window in which the latent fires, strongest first.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: rank INTEGER, activation FLOAT, tokens VARCHAR[], activations FLOAT[], position INTEGER, source VARCHAR
SELECT rank, activation, tokens, activations, position, source
FROM contexts
WHERE suite = $suite AND sae = $sae AND latent = $latent
ORDER BY rank
