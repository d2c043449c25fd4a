-- One row a letter in which the latent plays a part on this SAE: its place among the split latents (0: not one), the
-- tokens it absorbs, whether its encoder direction is the closest to the probe.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: letter VARCHAR, split_rank INTEGER, num_absorbed BIGINT, is_encoder_top BOOLEAN
SELECT letter, split_rank, num_absorbed, is_encoder_top
FROM roles($tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent
ORDER BY letter
