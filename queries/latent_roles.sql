-- One row per concept for which the latent has a role on this SAE: its rank among the split latents (0 if it is none),
-- the number of tokens that it absorbs, and whether its encoder direction is the closest to the probe.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: concept VARCHAR, split_rank INTEGER, num_absorbed BIGINT, is_encoder_top BOOLEAN
SELECT concept, split_rank, num_absorbed, is_encoder_top
FROM roles($metric, $tau, $cosine_threshold, $effect_margin)
JOIN concepts USING (suite, concept)
WHERE suite = $suite AND sae = $sae AND latent = $latent
ORDER BY concepts.family, concepts.position, concept
