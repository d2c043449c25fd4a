-- One row a latent and a letter in which it plays a part on this SAE.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: latent INTEGER, letter VARCHAR, split_rank INTEGER, num_absorbed BIGINT, is_encoder_top BOOLEAN
SELECT latent, letter, split_rank, num_absorbed, is_encoder_top
FROM roles($tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0
ORDER BY latent, letter
