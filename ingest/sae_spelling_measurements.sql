-- One row per SAE and concept, from its tested tokens. In files without sample_portion, every candidate was tested.
SELECT sae, concept, split_latents, num_probe_true_positives, num_tested, sample_portion,
    TRY_CAST(round(num_tested / sample_portion) AS INTEGER) AS num_candidates
FROM (
    SELECT sae, concept,
        any_value(split_latents) AS split_latents,
        any_value(num_probe_true_positives) AS num_probe_true_positives,
        CAST(count(*) AS INTEGER) AS num_tested,
        coalesce(nullif(any_value(sample_portion), 0), 1) AS sample_portion
    FROM tested
    GROUP BY sae, concept
)
