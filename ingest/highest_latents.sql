-- One row per SAE: the highest latent in any table, -1 if there is none.
SELECT sae, coalesce(max(latent), -1) AS latent
FROM (
    SELECT sae, list_max(split_latents) AS latent FROM measurements
    UNION ALL
    SELECT sae, greatest(top_latent, second_latent, list_max(latents)) FROM tested_tokens
    UNION ALL
    SELECT sae, latent FROM k_sparse
    UNION ALL
    SELECT sae, latent FROM encoder_top
    UNION ALL
    SELECT sae, latent FROM latents
)
GROUP BY sae
