-- One row per SAE and concept in any of the files, merged from all of them.
-- split, probes and tested are the three files, with their columns renamed to a suite's names.
SELECT sae, concept,
    coalesce(split.split_latents, probes.split_latents, counted.split_latents) AS split_latents,
    coalesce(split.num_probe_true_positives, counted.num_probe_true_positives) AS num_probe_true_positives,
    split.num_true_positives,
    split.num_split_silent,
    coalesce(split.num_candidates, round(counted.num_rows / nullif(counted.sample_portion, 0))) AS num_candidates,
    coalesce(split.num_tested, counted.num_rows) AS num_tested,
    coalesce(split.sample_portion, counted.sample_portion) AS sample_portion,
    probes.probe_f1, probes.probe_precision, probes.probe_recall, probes.probe_auc
FROM split
FULL JOIN probes USING (sae, concept)
FULL JOIN (
    SELECT sae, concept, count(*) AS num_rows,
        any_value(split_latents) AS split_latents,
        any_value(num_probe_true_positives) AS num_probe_true_positives,
        any_value(sample_portion) AS sample_portion
    FROM tested
    GROUP BY sae, concept
) AS counted USING (sae, concept)
