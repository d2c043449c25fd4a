-- One row per tested token with stored projections: the projections of split latents at `tau`, and of absorbing latents
-- as defined by SAEBench. At the suite's own tau, and if no other latents can be split latents, these are the stored
-- ones (`stands`). Otherwise they are summed over the row's latents if these are complete (latents_projection is
-- known); else they are unknown.
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
