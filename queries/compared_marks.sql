-- One row a split or absorbing latent of the concept, for each of several SAEs, with its exact cosine.
-- params: suite VARCHAR, compared VARCHAR[], concept VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: sae VARCHAR, latent INTEGER, part VARCHAR, cosine FLOAT
SELECT marks.sae, marks.latent, marks.part, near.cosine
FROM marks($metric, $tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN (
    SELECT sae, latent, cosine
    FROM cosines($suite, $compared)
    WHERE concept = $concept
) AS near USING (sae, latent)
WHERE marks.suite = $suite AND list_contains($compared, marks.sae) AND marks.concept = $concept
ORDER BY marks.sae, marks.part, marks.latent
