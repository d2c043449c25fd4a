-- One row per latent and concept of a family for which it has a role on this SAE.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: latent INTEGER, concept VARCHAR, split_rank INTEGER, num_absorbed BIGINT, is_encoder_top BOOLEAN
SELECT latent, concept, split_rank, num_absorbed, is_encoder_top
FROM roles($metric, $tau, $cosine_threshold, $effect_margin)
JOIN concepts USING (suite, concept)
WHERE suite = $suite AND sae = $sae AND family = $family
ORDER BY latent, concepts.position, concept
