-- One row per text window in which a latent fires that has a role for any concept of a family on this SAE, strongest
-- first.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: latent INTEGER, rank INTEGER, activation FLOAT, tokens VARCHAR[], activations FLOAT[], position INTEGER,
--          source VARCHAR
SELECT latent, rank, activation, tokens, activations, position, source
FROM contexts
WHERE suite = $suite AND sae = $sae
    AND latent IN (
        SELECT latent
        FROM roles($metric, $tau, $cosine_threshold, $effect_margin)
        JOIN concepts USING (suite, concept)
            WHERE suite = $suite AND sae = $sae AND family = $family
    )
ORDER BY latent, rank
