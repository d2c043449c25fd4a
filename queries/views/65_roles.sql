-- One row per latent and concept for which it has a role on an SAE: its rank among the split latents (0 if it is none),
-- the number of tokens that it absorbs, and whether its encoder direction is the closest to the probe.
CREATE MACRO roles(by_metric, tau, cosine_threshold, effect_margin) AS TABLE
SELECT suite, sae, concept, latent,
    max(split_rank) AS split_rank,
    max(num_absorbed) AS num_absorbed,
    bool_or(is_encoder_top) AS is_encoder_top
FROM (
    SELECT suite, sae, concept, unnest(split_latents) AS latent,
        CAST(generate_subscripts(split_latents, 1) AS INTEGER) AS split_rank,
        CAST(0 AS BIGINT) AS num_absorbed,
        false AS is_encoder_top
    FROM splits(tau)
    UNION ALL
    SELECT suite, sae, concept, top_latent AS latent, 0, count(*), false
    FROM verdicts(by_metric, tau, cosine_threshold, effect_margin)
    WHERE absorbed
    GROUP BY ALL
    UNION ALL
    SELECT suite, sae, concept, latent, 0, 0, true
    FROM encoder_top
    WHERE rank = 0
)
WHERE latent IS NOT NULL
GROUP BY ALL;
