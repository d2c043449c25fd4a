-- One row a letter in which the latent plays a part on this SAE: its place among the split latents, the tokens it
-- absorbs, its rank by encoder cosine.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, latent INTEGER, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: letter VARCHAR, split_rank INTEGER, num_absorbed BIGINT, mean_effect DOUBLE, encoder_rank INTEGER
SELECT coalesce(split.letter, absorbed.letter, encoder.letter) AS letter,
    split.split_rank, absorbed.num_absorbed, absorbed.mean_effect, encoder.encoder_rank
FROM (
    SELECT letter, CAST(list_position(split_latents, $latent) AS INTEGER) AS split_rank
    FROM splits($tau)
    WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0
        AND list_contains(split_latents, $latent)
) AS split
FULL JOIN (
    SELECT letter, count(*) AS num_absorbed, avg(top_effect) AS mean_effect
    FROM verdicts($tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND top_latent = $latent AND absorbed
    GROUP BY letter
) AS absorbed ON absorbed.letter = split.letter
FULL JOIN (
    SELECT letter, rank AS encoder_rank
    FROM encoder_top
    WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND latent = $latent
) AS encoder ON encoder.letter = coalesce(split.letter, absorbed.letter)
ORDER BY letter
