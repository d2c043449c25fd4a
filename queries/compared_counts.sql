-- One row per given SAE and measured concept of a family: the numbers of split and absorbing latents, NULL if unknown.
-- params: suite VARCHAR, compared VARCHAR[], family VARCHAR, concept VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- together: concept
-- columns: sae VARCHAR, concept VARCHAR, num_split_latents BIGINT, num_absorbing_latents BIGINT
SELECT sae, concept, CAST(num_split_latents AS BIGINT) AS num_split_latents, num_absorbing_latents
FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite AND list_contains($compared, sae) AND ($concept IS NULL OR concept = $concept)
ORDER BY sae, concept
