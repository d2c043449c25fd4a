-- One row a text window in which a latent that plays a part for any letter on this SAE fires, strongest first.
-- params: suite VARCHAR, sae VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: latent INTEGER, rank INTEGER, activation FLOAT, tokens VARCHAR[], activations FLOAT[], position INTEGER,
--          source VARCHAR
SELECT latent, rank, activation, tokens, activations, position, source
FROM contexts
WHERE suite = $suite AND sae = $sae
    AND latent IN (
        SELECT latent
        FROM roles($tau, $cosine_threshold, $effect_margin)
        WHERE suite = $suite AND sae = $sae
    )
ORDER BY latent, rank
