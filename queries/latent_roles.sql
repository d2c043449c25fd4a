-- One row a letter in which the latent plays a part on this SAE: its place among the split latents (0: not one), the
-- tokens it absorbs, whether its encoder direction is the closest to the probe.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: letter VARCHAR, split_rank INTEGER, num_absorbed BIGINT, is_encoder_top BOOLEAN
SELECT coalesce(split.letter, absorbed.letter, encoder.letter) AS letter,
    coalesce(split.split_rank, 0) AS split_rank,
    coalesce(absorbed.num_absorbed, 0) AS num_absorbed,
    encoder.letter IS NOT NULL AS is_encoder_top
FROM (
    SELECT letter, CAST(list_position(split_latents, $latent) AS INTEGER) AS split_rank
    FROM splits($tau)
    WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0
        AND list_contains(split_latents, $latent)
) AS split
FULL JOIN (
    SELECT letter, count(*) AS num_absorbed
    FROM verdicts($tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND top_latent = $latent AND absorbed
    GROUP BY letter
) AS absorbed ON absorbed.letter = split.letter
FULL JOIN (
    SELECT letter
    FROM encoder_top
    WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent AND rank = 0
) AS encoder ON encoder.letter = coalesce(split.letter, absorbed.letter)
ORDER BY letter
