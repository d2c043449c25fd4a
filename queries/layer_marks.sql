-- One row a split or absorbing latent of the letter, for each of several SAEs, with its exact cosine.
-- params: suite VARCHAR, compared VARCHAR[], concept VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: width INTEGER, l0 INTEGER, latent INTEGER, part VARCHAR, cosine FLOAT
SELECT saes.width, saes.l0, marks.latent, marks.part, near.cosine
FROM marks($tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN (
    SELECT sae, latent, cosine
    FROM cosines($suite, $compared)
    WHERE concept = $concept
) AS near USING (sae, latent)
JOIN saes ON saes.suite = marks.suite AND saes.sae = marks.sae
WHERE marks.suite = $suite AND list_contains($compared, marks.sae) AND marks.concept = $concept
ORDER BY saes.width, saes.l0, marks.part, marks.latent
