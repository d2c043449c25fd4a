-- One row per SAE and concept with ranked latents, computed once when the store opens: the latents in rank order (k up
-- to 15), and for each the running minimum of F1(k) - F1(k-1) (`rises`). A latent is a split latent for every tau below
-- its rise. +inf at k = 1, -inf from the first missing F1. Rounded, because otherwise 0.73 - 0.70 would exceed 0.03.
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
