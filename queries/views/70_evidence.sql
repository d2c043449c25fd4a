-- One row a tested token of a suite, with what a reader needs to question its verdict under the given thresholds.
-- `reason`: the first condition that fails, in the order of the method; 'absorbed' where none does, 'published' where
-- the row stores no scores and its verdict stands as it was published.
CREATE MACRO evidence(tau, cosine_threshold, effect_margin) AS TABLE
SELECT suite, layer, width, l0, letter, token, split_latents, split_activations, top_latent, top_effect, top_cosine,
    second_latent, second_effect, second_cosine, margin, absorbed, is_absorption AS published, prompt_id,
    CASE WHEN top_effect IS NULL THEN 'published'
        WHEN absorbed THEN 'absorbed'
        WHEN NOT silent THEN 'split latent fires'
        WHEN NOT lowers THEN 'no effect'
        WHEN NOT stands_out THEN 'effect margin'
        ELSE 'cosine' END AS reason
FROM verdicts(tau, cosine_threshold, effect_margin);
