-- One row a tested token, of files with one row a token and ranked latent: the first rank has the verdict, and all
-- ranks together are the list of latents with the largest effects.
SELECT ranked.* EXCLUDE (latents, effects, activations, cosines), listed.latents, listed.effects, listed.activations,
    listed.cosines
FROM ranked
JOIN (
    SELECT layer, width, l0, letter, token,
        list(top_latent ORDER BY feat_order) AS latents,
        list(top_effect ORDER BY feat_order) AS effects,
        list(top_activation ORDER BY feat_order) AS activations,
        list(top_cosine ORDER BY feat_order) AS cosines
    FROM ranked
    GROUP BY layer, width, l0, letter, token
) AS listed USING (layer, width, l0, letter, token)
WHERE feat_order = 0
