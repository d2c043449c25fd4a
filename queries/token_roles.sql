-- One row per concept of a word, SAE and latent: the split and absorbing latents of the concept on that SAE and, if the word
-- was tested, the three other latents with the strongest effects or projections (`role` 'other'). `activation` on the word: in
-- the test of the concept (`as_tested`) if that is stored, else on the vocabulary; 0: it is silent; NULL: not stored. Effect
-- and projection are stored for tested words only.
-- params: suite VARCHAR, token VARCHAR, facet_saes VARCHAR[], metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: concept VARCHAR, sae VARCHAR, role VARCHAR, latent INTEGER, activation FLOAT, as_tested BOOLEAN, effect FLOAT,
--          projection FLOAT, cosine FLOAT
WITH word AS (
    SELECT token_id
    FROM tokens
    WHERE suite = $suite AND token = $token
),
own AS (FROM concepts_of_token($suite, $token)),
with_role AS (
    SELECT sae, concept, latent, CASE WHEN split_rank > 0 THEN 'split' ELSE 'absorbing' END AS role, split_rank AS place
    FROM roles($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND concept IN (FROM own) AND (split_rank > 0 OR num_absorbed > 0)
        AND ($facet_saes IS NULL OR list_contains($facet_saes, sae))
),
tested AS (
    SELECT tested_tokens.*, ranked.split_latents
    FROM tested_tokens
    JOIN ranked USING (suite, sae, concept)
    WHERE suite = $suite AND token = $token AND ($facet_saes IS NULL OR list_contains($facet_saes, sae))
),
measured_on AS (
    SELECT sae, concept, latent, max(activation) AS activation, min(effect) AS effect, max(projection) AS projection,
        any_value(cosine) AS cosine
    FROM (
        SELECT sae, concept, unnest(latents) AS latent, unnest(activations) AS activation, unnest(effects) AS effect,
            unnest(projections) AS projection, unnest(cosines) AS cosine
        FROM tested
        UNION ALL
        SELECT sae, concept, top_latent, NULL, top_effect, top_projection, top_cosine
        FROM tested
        UNION ALL
        SELECT sae, concept, second_latent, NULL, nullif(second_effect, 0), second_projection, second_cosine
        FROM tested
        WHERE second_effect <> 0 OR second_projection IS NOT NULL
        UNION ALL
        SELECT sae, concept, unnest(split_latents), unnest(split_activations), NULL, NULL, unnest(split_cosines)
        FROM tested
        WHERE len(split_latents) = len(split_activations)
    )
    WHERE latent IS NOT NULL
    GROUP BY sae, concept, latent
),
strongest AS (
    SELECT sae, concept, latent, 'other' AS role, row_number() OVER (
        PARTITION BY sae, concept
        ORDER BY CASE WHEN $metric = 'ig_ablation' THEN effect END, -projection NULLS LAST, effect NULLS LAST, latent
    ) AS place
    FROM measured_on
    ANTI JOIN with_role USING (sae, concept, latent)
    WHERE CASE WHEN $metric = 'ig_ablation' AND effect IS NOT NULL THEN effect < 0 ELSE coalesce(projection, -effect) > 0 END
),
listed AS (
    FROM with_role
    UNION ALL
    FROM strongest
    WHERE place <= 3
),
on_vocabulary AS (
    SELECT sae, latent, coalesce(max(activations[list_position(token_ids, token_id)]), 0) AS activation
    FROM token_activations
    SEMI JOIN listed USING (sae, latent)
    CROSS JOIN word
    WHERE suite = $suite
    GROUP BY sae, latent
)
SELECT listed.concept, listed.sae, listed.role, listed.latent,
    CAST(coalesce(measured_on.activation, on_vocabulary.activation) AS FLOAT) AS activation,
    measured_on.activation IS NOT NULL AS as_tested, measured_on.effect, measured_on.projection, measured_on.cosine
FROM listed
LEFT JOIN measured_on USING (sae, concept, latent)
LEFT JOIN on_vocabulary USING (sae, latent)
JOIN saes ON saes.suite = $suite AND saes.sae = listed.sae
ORDER BY listed.concept, saes.position, listed.sae, list_position(['split', 'absorbing', 'other'], listed.role),
    CASE WHEN listed.role <> 'absorbing' THEN place END, activation DESC NULLS LAST, place, listed.latent
