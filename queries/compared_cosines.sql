-- At most two rows a stretch of latents, for each of several SAEs: its lowest and its highest cosine with the concept's
-- probe. 400 stretches an SAE, so no peak is lost and ten SAEs stay light.
-- params: suite VARCHAR, compared VARCHAR[], concept VARCHAR
-- columns: sae VARCHAR, latent INTEGER, cosine FLOAT
WITH stretches AS (
    SELECT sae, cosines.latent // greatest(saes.n_latents // 400, 1) AS stretch,
        arg_min(cosines.latent, cosines.cosine) AS low_latent, min(cosines.cosine) AS low,
        arg_max(cosines.latent, cosines.cosine) AS high_latent, max(cosines.cosine) AS high
    FROM cosines($suite, $compared) AS cosines
    JOIN saes USING (suite, sae)
    WHERE cosines.concept = $concept
    GROUP BY ALL
)
SELECT sae, low_latent AS latent, low AS cosine FROM stretches
UNION
SELECT sae, high_latent AS latent, high AS cosine FROM stretches
ORDER BY sae, latent
