-- Whether a concept counts in the mean over concepts. mean_policy 'with_candidates': if it has candidates, as in the
-- paper; 'all_concepts': always. Without num_candidates, use the number of tested tokens, or the published number.
CREATE MACRO counted(mean_policy, num_candidates, num_rows, is_published, num_probe_true_positives) AS
    mean_policy = 'all_concepts' OR coalesce(num_candidates, nullif(num_rows, 0),
        CASE WHEN is_published THEN num_probe_true_positives END) > 0;
