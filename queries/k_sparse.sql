-- One row a k of the k-sparse probe for one concept on one SAE; is_split marks the latents accepted at tau.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, tau DOUBLE
-- columns: k INTEGER, latent INTEGER, f1 DOUBLE, precision DOUBLE, recall DOUBLE, auc DOUBLE, is_split BOOLEAN
SELECT k, latent, f1, precision, recall, auc, k <= len(splits.split_latents) AS is_split
FROM k_sparse
JOIN splits($tau) AS splits USING (suite, sae, concept)
WHERE suite = $suite AND sae = $sae AND concept = $concept
ORDER BY k
