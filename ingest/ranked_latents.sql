-- One row per tested token, from files with one row per token and ranked latent. The verdict is that of the first rank;
-- tokens without one are omitted. The ranks become the lists of latents; if the file has no runner-up, it is the second
-- rank.
SELECT ranked.* EXCLUDE (feat_order, top_activation, latents, effects, activations, cosines) REPLACE (
        coalesce(second_latent, listed.latents[2]) AS second_latent,
        coalesce(second_effect, listed.effects[2]) AS second_effect,
        coalesce(second_cosine, listed.cosines[2]) AS second_cosine
    ),
    listed.latents, listed.effects, listed.activations, listed.cosines
FROM ranked
JOIN (
    SELECT sae, concept, token,
        list(top_latent ORDER BY feat_order) AS latents,
        list(top_effect ORDER BY feat_order) AS effects,
        list(top_activation ORDER BY feat_order) AS activations,
        list(top_cosine ORDER BY feat_order) AS cosines
    FROM ranked
    GROUP BY sae, concept, token
) AS listed USING (sae, concept, token)
WHERE feat_order = 0 AND is_absorption IS NOT NULL
