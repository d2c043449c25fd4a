-- One row a letter of the alphabet: what this SAE absorbs of it. Letters that were not measured have measured = false.
-- params: suite VARCHAR, sae VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: letter VARCHAR, measured BOOLEAN, num_split_latents BIGINT, num_absorbing_latents BIGINT,
--          num_absorbed BIGINT, num_tested BIGINT, absorption_rate DOUBLE
SELECT alphabet.letter,
    rates.concept IS NOT NULL AS measured,
    CAST(rates.num_split_latents AS BIGINT) AS num_split_latents,
    rates.num_absorbing_latents,
    rates.num_absorbed,
    CAST(coalesce(rates.num_tested, rates.num_rows) AS BIGINT) AS num_tested,
    rates.absorption_rate
FROM (SELECT unnest(string_split('abcdefghijklmnopqrstuvwxyz', '')) AS letter) AS alphabet
LEFT JOIN (
    SELECT *
    FROM rates($tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND sae = $sae
) AS rates ON letter_of(rates.concept) = alphabet.letter
ORDER BY alphabet.letter
