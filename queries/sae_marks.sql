-- One row a split or absorbing latent, for every letter of one SAE, with its exact cosine.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: letter VARCHAR, latent INTEGER, part VARCHAR, cosine FLOAT
SELECT marks.letter, marks.latent, marks.part, near.cosine
FROM marks($tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN cosines($suite, $layer, $width, $l0) AS near USING (letter, latent)
WHERE marks.suite = $suite AND marks.layer = $layer AND marks.width = $width AND marks.l0 = $l0
ORDER BY marks.letter, marks.part, marks.latent
