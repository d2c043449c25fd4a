-- For each of several SAEs, at most two rows per bin of latents, with the lowest and the highest cosine with the
-- concept's probe, and one row per split or absorbing latent (see `part`) with its exact cosine. 400 bins per SAE keep
-- all peaks and ten SAEs small.
-- params: suite VARCHAR, compared VARCHAR[], concept VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: sae VARCHAR, part VARCHAR, latent INTEGER, cosine FLOAT
WITH near AS MATERIALIZED (
    -- Read once, because opening an SAE's file takes longer than reading one concept of it.
    SELECT sae, latent, cosine
    FROM cosines($suite, $compared)
    WHERE concept = $concept AND cosine IS NOT NULL
),
bins AS (
    SELECT near.sae, near.latent // greatest(saes.n_latents // 400, 1) AS bin,
        arg_min(near.latent, near.cosine) AS low_latent, min(near.cosine) AS low,
        arg_max(near.latent, near.cosine) AS high_latent, max(near.cosine) AS high
    FROM near
    JOIN saes ON saes.suite = $suite AND saes.sae = near.sae
    GROUP BY ALL
)
SELECT sae, NULL AS part, low_latent AS latent, low AS cosine FROM bins
UNION ALL
SELECT sae, NULL, high_latent, high FROM bins WHERE high_latent <> low_latent
UNION ALL
SELECT marks.sae, marks.part, marks.latent, near.cosine
FROM marks($metric, $tau, $cosine_threshold, $effect_margin) AS marks
LEFT JOIN near USING (sae, latent)
WHERE marks.suite = $suite AND list_contains($compared, marks.sae) AND marks.concept = $concept
ORDER BY sae, part NULLS FIRST, latent
