-- One row per tested token. If a file has only the top latent and the runner-up, they become the list of latents.
SELECT * EXCLUDE (top_activation) REPLACE (
    CASE WHEN latents IS NULL THEN list_filter([top_latent, second_latent], lambda latent: latent IS NOT NULL)
        ELSE latents END AS latents,
    CASE WHEN latents IS NULL THEN [top_effect, second_effect][:1 + CAST(second_latent IS NOT NULL AS INTEGER)]
        ELSE effects END AS effects,
    CASE WHEN latents IS NULL THEN [top_activation, NULL][:1 + CAST(second_latent IS NOT NULL AS INTEGER)]
        ELSE activations END AS activations,
    CASE WHEN latents IS NULL THEN [top_cosine, second_cosine][:1 + CAST(second_latent IS NOT NULL AS INTEGER)]
        ELSE cosines END AS cosines
)
FROM tested
