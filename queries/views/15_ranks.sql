-- One row an SAE and a concept that k-sparse probing ranks latents for, computed once, when the store opens: the latents in
-- rank order (k up to 15), and for each the least that F1 rises by on any step from the first latent to this one (`rises`).
-- At every tau below its rise, a latent is a split latent. It is without end for the first, whose F1 rises from nothing;
-- below every tau from an unknown F1 on. Rounded, lest 0.73 - 0.70 exceed 0.03.
CREATE TABLE ranks AS
SELECT suite, sae, concept, list(latent ORDER BY k) AS latents, list(rise ORDER BY k) AS rises
FROM (
    SELECT suite, sae, concept, k, latent, min(step) OVER (PARTITION BY suite, sae, concept ORDER BY k) AS rise
    FROM (
        SELECT *,
            CASE WHEN k = 1 THEN 'inf' ELSE coalesce(round(f1 - lag(f1) OVER (
                PARTITION BY suite, sae, concept ORDER BY k), 9), '-inf') END AS step
        FROM k_sparse
        WHERE k <= 15
    )
)
WHERE latent IS NOT NULL
GROUP BY suite, sae, concept;
