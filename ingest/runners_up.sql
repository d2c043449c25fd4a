-- One row a tested token: where a file does not name the runner-up, it is the second of the ranked latents.
SELECT * REPLACE (
    coalesce(second_latent, latents[2]) AS second_latent,
    coalesce(second_effect, effects[2]) AS second_effect,
    coalesce(second_cosine, cosines[2]) AS second_cosine
)
FROM tested
