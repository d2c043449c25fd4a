-- SAEBench's rule: every split latent is silent; the latent with the largest projection on the probe carries at least
-- 0.4 of the token's total projection; and its cosine with the probe reaches the threshold.
CREATE MACRO full_absorption(silent, projection, total_projection, top_cosine, cosine_threshold) AS
    silent AND total_projection >= 0 AND projection >= 0.4 * total_projection
    AND coalesce(top_cosine >= cosine_threshold, true);
