-- At most one row: the number of vocabulary words on which a latent fires, by whether they have the concept; no row if the
-- suite does not store its activations on the vocabulary, or which words have the concept. `num_false_alarms`: it fires, and
-- the word has other concepts of the family; `num_unlisted`: it fires, and no concept of the family is listed for the word, so
-- whether it has this one is unknown; `num_misses`: words of the concept on which it is silent; `num_missed_absorbed`: those of
-- them that are absorbed on this SAE. num_test_hits and num_test_false_alarms count test words only, NULL if the split is unknown.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, latent INTEGER, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: num_hits BIGINT, num_false_alarms BIGINT, num_unlisted BIGINT, num_misses BIGINT, num_missed_absorbed BIGINT,
--          num_test_hits BIGINT, num_test_false_alarms BIGINT
SELECT count(*) FILTER (kind = 'hit') AS num_hits,
    count(*) FILTER (kind = 'false alarm') AS num_false_alarms,
    count(*) FILTER (kind = 'unlisted') AS num_unlisted,
    count(*) FILTER (kind = 'miss') AS num_misses,
    CASE WHEN NOT is_fraction($metric) THEN count(*) FILTER (kind = 'miss' AND absorbed) END AS num_missed_absorbed,
    CASE WHEN bool_and(is_test IS NOT NULL) THEN count(*) FILTER (kind = 'hit' AND is_test) END AS num_test_hits,
    CASE WHEN bool_and(is_test IS NOT NULL) THEN count(*) FILTER (kind = 'false alarm' AND is_test) END
        AS num_test_false_alarms
FROM words_by($suite, $sae, $concept, $latent)
LEFT JOIN (
    SELECT token, absorbed
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND sae = $sae AND concept = $concept
) USING (token)
HAVING count(*) > 0
