-- One row a latent that k-sparse probing ranks for a concept (k up to 15), computed once, when the store opens.
-- `rise`: the least that F1 rises by on any step from the first latent to this one; at every tau below it, this is a
-- split latent. Without end for the first, whose F1 rises from nothing; below every tau from an unknown F1 on.
-- Rounded, lest 0.73 - 0.70 exceed 0.03.
CREATE TABLE ranks AS
SELECT suite, sae, concept, k, latent,
    min(step) OVER (PARTITION BY suite, sae, concept ORDER BY k) AS rise
FROM (
    SELECT *,
        CASE WHEN k = 1 THEN 'inf' ELSE coalesce(round(f1 - lag(f1) OVER (
            PARTITION BY suite, sae, concept ORDER BY k), 9), '-inf') END AS step
    FROM k_sparse
    WHERE k <= 15
);
