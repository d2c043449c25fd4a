-- One row per concept, from the probe's true positives on one SAE, which are all tested.
SELECT concept,
    any_value(split_latents) AS split_latents,
    any_value(num_probe_true_positives) AS num_probe_true_positives,
    CAST(count(*) FILTER (list_max(split_activations) < 1e-8) AS INTEGER) AS num_split_silent,
    CAST(count(*) AS INTEGER) AS num_tested,
    sum(absorption_fraction) / nullif(any_value(num_probe_true_positives), 0) AS absorption_fraction
FROM tested
GROUP BY concept
