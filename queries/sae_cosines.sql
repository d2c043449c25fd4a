-- At most two rows a stretch of latents, for each of several concepts on one SAE: its lowest and its highest cosine with
-- the concept's probe; 400 stretches a concept.
-- params: suite VARCHAR, sae VARCHAR, compared_concepts VARCHAR[]
-- columns: concept VARCHAR, latent INTEGER, cosine FLOAT
WITH stretches AS (
    SELECT cosines.concept, cosines.latent // greatest(saes.n_latents // 400, 1) AS stretch,
        arg_min(cosines.latent, cosines.cosine) AS low_latent, min(cosines.cosine) AS low,
        arg_max(cosines.latent, cosines.cosine) AS high_latent, max(cosines.cosine) AS high
    FROM cosines($suite, [$sae]) AS cosines
    JOIN saes USING (suite, sae)
    WHERE list_contains($compared_concepts, cosines.concept)
    GROUP BY ALL
)
SELECT concept, low_latent AS latent, low AS cosine FROM stretches
UNION
SELECT concept, high_latent AS latent, high AS cosine FROM stretches
ORDER BY concept, latent
