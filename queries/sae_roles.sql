-- One row a latent and a letter in which it plays a part on this SAE.
-- params: suite VARCHAR, sae VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: latent INTEGER, letter VARCHAR, split_rank INTEGER, num_absorbed BIGINT, is_encoder_top BOOLEAN
SELECT latent, letter_of(concept) AS letter, split_rank, num_absorbed, is_encoder_top
FROM roles($tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite AND sae = $sae
ORDER BY latent, concept
