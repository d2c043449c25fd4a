-- One row a split or absorbing latent, for each of several concepts on one SAE, with its exact cosine.
-- params: suite VARCHAR, sae VARCHAR, compared_concepts VARCHAR[], metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: concept VARCHAR, latent INTEGER, part VARCHAR, cosine FLOAT
SELECT marks.concept, marks.latent, marks.part, near.cosine
FROM marks($metric, $tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN cosines($suite, [$sae]) AS near USING (concept, latent)
WHERE marks.suite = $suite AND marks.sae = $sae AND list_contains($compared_concepts, marks.concept)
ORDER BY marks.concept, marks.part, marks.latent
