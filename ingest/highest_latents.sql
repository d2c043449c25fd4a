-- One row an SAE: the highest number of a latent that any table names.
SELECT layer, width, l0, coalesce(max(latent), -1) AS latent
FROM (
    SELECT layer, width, l0, list_max(split_latents) AS latent FROM letters
    UNION ALL
    SELECT layer, width, l0, greatest(top_latent, second_latent, list_max(latents)) FROM tested_tokens
    UNION ALL
    SELECT layer, width, l0, latent FROM k_sparse
    UNION ALL
    SELECT layer, width, l0, latent FROM encoder_top
    UNION ALL
    SELECT layer, width, l0, latent FROM latents
)
GROUP BY layer, width, l0
