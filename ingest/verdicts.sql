-- The rows of tested with a verdict: the stored one, else that of the paper's rule, else NULL. splits has the split latents
-- of each SAE and concept; if they are unknown, tested tokens are assumed to be candidates, on which all of them are silent.
SELECT tested.* REPLACE (coalesce(
    is_absorption,
    ablation(
        coalesce(list_max(split_activations) < 1e-8,
            NOT list_has_any(list_append(coalesce(tested.latents, []), top_latent), splits.split_latents), true),
        top_effect, abs(top_effect) - abs(coalesce(second_effect, 0)), top_cosine, $cosine_threshold, $effect_margin
    )
) AS is_absorption)
FROM tested
LEFT JOIN splits USING (sae, concept)
