-- One row a split or absorbing latent of the letter, for every SAE of a layer, with its exact cosine.
-- params: suite VARCHAR, layer INTEGER, letter VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: width INTEGER, l0 INTEGER, latent INTEGER, part VARCHAR, cosine FLOAT
SELECT marks.width, marks.l0, marks.latent, marks.part, near.cosine
FROM marks($tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN (
    SELECT width, l0, latent, cosine
    FROM cosines($suite, $layer)
    WHERE letter = $letter
) AS near USING (width, l0, latent)
WHERE marks.suite = $suite AND marks.layer = $layer AND marks.letter = $letter
ORDER BY marks.width, marks.l0, marks.part, marks.latent
