-- One row per token and concept for which it was tested: the number of SAEs of the suite on which it was tested, and on
-- how many of these it is absorbed; shortest tokens first, as in the search.
-- params: suite VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: token VARCHAR, concept VARCHAR, num_saes BIGINT, num_absorbed BIGINT
SELECT token, concept, count(*) AS num_saes, count(*) FILTER (absorbed) AS num_absorbed
FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite
GROUP BY token, concept
ORDER BY len(ltrim(token)), num_absorbed DESC, token, concept
