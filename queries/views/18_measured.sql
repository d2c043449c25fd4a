-- One row an SAE and a concept: what was measured, with all that decides on the split at any tau, computed once, when the
-- store opens: a change of tau then cuts lists and groups no rows.
CREATE TABLE measured AS
SELECT measurements.*, concepts.family, suites.tau AS tau_published,
    ranks.latents AS ranked_latents, ranks.rises AS ranked_rises
FROM measurements
JOIN suites USING (suite)
LEFT JOIN concepts USING (suite, concept)
LEFT JOIN ranks USING (suite, sae, concept)
ORDER BY suite, sae, concept;
