-- At most two rows a stretch of latents, for every SAE of a layer: its lowest and its highest cosine with the letter's
-- probe. 400 stretches an SAE, so no peak is lost and ten SAEs stay light.
-- params: suite VARCHAR, layer INTEGER, letter VARCHAR
-- columns: width INTEGER, l0 INTEGER, latent INTEGER, cosine FLOAT
WITH stretches AS (
    SELECT cosines.width, cosines.l0, cosines.latent // greatest(saes.n_latents // 400, 1) AS stretch,
        arg_min(cosines.latent, cosines.cosine) AS low_latent, min(cosines.cosine) AS low,
        arg_max(cosines.latent, cosines.cosine) AS high_latent, max(cosines.cosine) AS high
    FROM cosines($suite, $layer) AS cosines
    JOIN saes USING (suite, layer, width, l0)
    WHERE cosines.letter = $letter
    GROUP BY ALL
)
SELECT width, l0, low_latent AS latent, low AS cosine FROM stretches
UNION
SELECT width, l0, high_latent AS latent, high AS cosine FROM stretches
ORDER BY width, l0, latent
