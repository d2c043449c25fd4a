-- One row per absorbed token of the concept on this SAE, strongest effect first.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: token VARCHAR, latent INTEGER, effect FLOAT
SELECT token, top_latent AS latent, top_effect AS effect
FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite AND sae = $sae AND concept = $concept AND absorbed
ORDER BY top_effect, token
