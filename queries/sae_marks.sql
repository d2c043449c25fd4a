-- One row a split or absorbing latent, for every letter of one SAE, with its exact cosine.
-- params: suite VARCHAR, sae VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: letter VARCHAR, latent INTEGER, part VARCHAR, cosine FLOAT
SELECT letter_of(marks.concept) AS letter, marks.latent, marks.part, near.cosine
FROM marks($tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN cosines($suite, [$sae]) AS near USING (concept, latent)
WHERE marks.suite = $suite AND marks.sae = $sae
ORDER BY marks.concept, marks.part, marks.latent
