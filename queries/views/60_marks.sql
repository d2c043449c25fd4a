-- One row per latent with a role for a concept on an SAE: part is 'split' or 'absorbing'.
CREATE MACRO marks(by_metric, tau, cosine_threshold, effect_margin) AS TABLE
SELECT suite, sae, concept, unnest(split_latents) AS latent, 'split' AS part
FROM splits(tau)
UNION ALL
SELECT DISTINCT suite, sae, concept, top_latent AS latent, 'absorbing' AS part
FROM verdicts(by_metric, tau, cosine_threshold, effect_margin)
WHERE absorbed;
