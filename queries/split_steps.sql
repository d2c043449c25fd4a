-- One row per concept of a family on one SAE: its published split latents, and its ranked latents with the tau below
-- which each is a split latent (`rises`; macro split_at).
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR
-- columns: concept VARCHAR, split_latents INTEGER[], ranked_latents INTEGER[], ranked_rises DOUBLE[]
SELECT concept, split_latents, ranked_latents, ranked_rises
FROM ranked
WHERE suite = $suite AND sae = $sae AND family = $family
ORDER BY concept
