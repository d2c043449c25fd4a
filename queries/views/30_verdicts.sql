-- One row a tested token, with the verdict under the given thresholds and each of its conditions.
-- `silent`: no split latent at this tau is among the token's active latents.
-- `lowers`: the method has <= 0, which at any positive margin is the same; a latent without effect absorbs nothing.
-- Rows that store no scores keep the verdict they were published with.
CREATE MACRO verdicts(tau, cosine_threshold, effect_margin) AS TABLE
SELECT *,
    CASE WHEN top_effect IS NULL THEN is_absorption
        ELSE silent AND lowers AND stands_out AND aligned END AS absorbed
FROM (
    SELECT *,
        CASE WHEN tau = tau_published THEN NOT fires_published ELSE tau >= silent_from END AS silent,
        top_effect < 0 AS lowers,
        margin >= effect_margin AS stands_out,
        coalesce(top_cosine >= cosine_threshold, true) AS aligned
    FROM scores
);
