-- For each of several concepts on one SAE, at most two rows per bin of latents, with the lowest and the highest cosine
-- with the concept's probe, and one row per split or absorbing latent (see `part`) with its exact cosine; 400 bins per
-- concept.
-- params: suite VARCHAR, sae VARCHAR, compared_concepts VARCHAR[], metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: concept VARCHAR, part VARCHAR, latent INTEGER, cosine FLOAT
WITH near AS MATERIALIZED (
    SELECT concept, latent, cosine
    FROM cosines($suite, [$sae])
    WHERE list_contains($compared_concepts, concept) AND cosine IS NOT NULL
),
bins AS (
    SELECT near.concept, near.latent // greatest(saes.n_latents // 400, 1) AS bin,
        arg_min(near.latent, near.cosine) AS low_latent, min(near.cosine) AS low,
        arg_max(near.latent, near.cosine) AS high_latent, max(near.cosine) AS high
    FROM near
    JOIN saes ON saes.suite = $suite AND saes.sae = $sae
    GROUP BY ALL
)
SELECT concept, NULL AS part, low_latent AS latent, low AS cosine FROM bins
UNION ALL
SELECT concept, NULL, high_latent, high FROM bins WHERE high_latent <> low_latent
UNION ALL
SELECT marks.concept, marks.part, marks.latent, near.cosine
FROM marks($metric, $tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN near USING (concept, latent)
WHERE marks.suite = $suite AND marks.sae = $sae AND list_contains($compared_concepts, marks.concept)
ORDER BY concept, part NULLS FIRST, latent
