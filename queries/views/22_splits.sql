-- One row per SAE and concept: the split latents at threshold `tau`.
CREATE MACRO splits(tau) AS TABLE
SELECT suite, sae, concept, family, split_at(tau, tau_published, split_latents, ranked_latents, ranked_rises) AS split_latents
FROM ranked;
