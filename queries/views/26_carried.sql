-- One row a tested token whose projection on the probe was taken apart: what split latents carry of it at `tau`, and what the
-- absorbing latents that SAEBench counts. At the suite's own tau, and where no other latents can be split latents, these stand
-- as stored (`stands`). Elsewhere they are summed up from the row's latents, where these hold all that it takes
-- (latents_projection is known); else they are unknown.
CREATE MACRO carried(tau) AS TABLE
SELECT * EXCLUDE (split, latents, projections, cosines) REPLACE (
    CASE WHEN stands THEN main_projection
        WHEN latents_projection IS NOT NULL THEN carried_by_split(split, latents, projections) END AS main_projection,
    CASE WHEN stands THEN absorbing_projection
        WHEN latents_projection IS NOT NULL THEN carried_by_absorbing(split, latents, projections, cosines)
        END AS absorbing_projection
)
FROM (
    SELECT tested_tokens.rowid AS token_row, tested_tokens.suite, tested_tokens.sae, tested_tokens.concept, ranked.family,
        token, main_projection, absorbing_projection, latents_projection, total_projection,
        split_at(tau, tau_published, ranked.split_latents, ranked_latents, ranked_rises) AS split,
        tau = tau_published OR ranked_latents IS NULL AS stands,
        latents, projections, cosines
    FROM tested_tokens
    JOIN ranked USING (suite, sae, concept)
    WHERE total_projection IS NOT NULL
);
