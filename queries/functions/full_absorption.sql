-- SAEBench's rule: every split latent is silent, and the latent with the largest projection on the probe makes up at least
-- 0.4 of the token's total projection and points along the probe.
CREATE MACRO full_absorption(silent, projection, total_projection, top_cosine, cosine_threshold) AS
    silent AND total_projection >= 0 AND projection >= 0.4 * total_projection
    AND coalesce(top_cosine >= cosine_threshold, true);
