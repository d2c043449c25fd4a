-- One row per k of the k-sparse probes for a concept on one SAE; is_split marks the split latents at tau.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, tau DOUBLE
-- together: concept
-- columns: concept VARCHAR, k INTEGER, latent INTEGER, f1 DOUBLE, precision DOUBLE, recall DOUBLE, auc DOUBLE, is_split BOOLEAN
SELECT concept, k, latent, f1, precision, recall, auc, k <= len(splits.split_latents) AS is_split
FROM k_sparse
JOIN splits($tau) AS splits USING (suite, sae, concept)
WHERE suite = $suite AND sae = $sae AND ($concept IS NULL OR concept = $concept)
ORDER BY k
