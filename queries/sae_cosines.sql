-- At most two rows a stretch of latents, for every letter of one SAE: its lowest and its highest cosine with the
-- letter's probe; 400 stretches a letter.
-- params: suite VARCHAR, sae VARCHAR
-- columns: letter VARCHAR, latent INTEGER, cosine FLOAT
WITH stretches AS (
    SELECT cosines.concept, cosines.latent // greatest(saes.n_latents // 400, 1) AS stretch,
        arg_min(cosines.latent, cosines.cosine) AS low_latent, min(cosines.cosine) AS low,
        arg_max(cosines.latent, cosines.cosine) AS high_latent, max(cosines.cosine) AS high
    FROM cosines($suite, [$sae]) AS cosines
    JOIN saes USING (suite, sae)
    GROUP BY ALL
)
SELECT letter_of(concept) AS letter, low_latent AS latent, low AS cosine FROM stretches
UNION
SELECT letter_of(concept), high_latent AS latent, high AS cosine FROM stretches
ORDER BY letter, latent
