-- One row an SAE and a concept: the split latents at threshold `tau`.
-- Latents are accepted in rank order while each step lifts F1 by more than tau; the first that does not, or whose F1 is
-- unknown, ends the list (k up to 15). At the suite's own tau, and where it stores no ranked latents, its own list stands.
CREATE MACRO splits(tau) AS TABLE
SELECT measurements.suite, measurements.sae, measurements.concept,
    CASE WHEN tau = suites.tau THEN coalesce(measurements.split_latents, derived.split_latents)
        ELSE coalesce(derived.split_latents, measurements.split_latents) END AS split_latents
FROM measurements
JOIN suites USING (suite)
LEFT JOIN (
    SELECT suite, sae, concept, list(latent ORDER BY k) AS split_latents
    FROM ranks
    WHERE rise > tau AND latent IS NOT NULL
    GROUP BY ALL
) AS derived USING (suite, sae, concept);
