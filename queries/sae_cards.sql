-- One row per latent that has a role for any concept of a family on this SAE: its statistics, the output tokens that it
-- raises and lowers, and its activations on text. NULL if the suite does not store it.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: latent INTEGER, density FLOAT, max_activation FLOAT, num_vocab_tokens INTEGER, top_concept VARCHAR,
--          top_concept_cosine FLOAT, raised_tokens VARCHAR[], raised_logits FLOAT[], lowered_tokens VARCHAR[],
--          lowered_logits FLOAT[], low FLOAT, high FLOAT, counts INTEGER[]
SELECT latent, density, max_activation, num_vocab_tokens, top_concept, top_concept_cosine, raised_tokens, raised_logits,
    lowered_tokens, lowered_logits, low, high, counts
FROM (
    SELECT DISTINCT suite, sae, latent
    FROM roles($metric, $tau, $cosine_threshold, $effect_margin)
    JOIN concepts USING (suite, concept)
    WHERE suite = $suite AND sae = $sae AND family = $family
)
LEFT JOIN (
    FROM latents WHERE suite = $suite AND sae = $sae
) USING (latent)
LEFT JOIN (
    FROM logits WHERE suite = $suite AND sae = $sae
) USING (latent)
LEFT JOIN (
    FROM histograms WHERE suite = $suite AND sae = $sae
) USING (latent)
ORDER BY latent
