-- One row a tested token, with the verdict under the given thresholds and each of its conditions.
-- `silent`: no split latent at this tau is among the token's active latents (at the suite's own tau: always true).
-- `lowers`: the method has <= 0, which at any positive margin is the same; a latent without effect absorbs nothing.
-- Rows that store no scores keep the verdict they were published with.
CREATE MACRO verdicts(tau, cosine_threshold, effect_margin) AS TABLE
SELECT *,
    CASE WHEN top_effect IS NULL THEN is_absorption
        ELSE silent AND lowers AND stands_out AND aligned END AS absorbed
FROM (
    SELECT tested_tokens.*, splits.split_latents,
        NOT list_has_any(list_append(coalesce(latents, []), top_latent), splits.split_latents) AS silent,
        top_effect < 0 AS lowers,
        abs(top_effect) - abs(coalesce(second_effect, 0)) AS margin,
        abs(top_effect) - abs(coalesce(second_effect, 0)) >= effect_margin AS stands_out,
        coalesce(top_cosine >= cosine_threshold, true) AS aligned
    FROM tested_tokens
    JOIN splits(tau) AS splits USING (suite, layer, width, l0, letter)
);
