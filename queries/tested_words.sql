-- One row a token and a concept that it was tested for: the number of SAEs of the suite it was tested on, and on how many of
-- these it is absorbed; the shortest first, as a search lists them.
-- params: suite VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: token VARCHAR, concept VARCHAR, num_saes BIGINT, num_absorbed BIGINT
SELECT token, concept, count(*) AS num_saes, count(*) FILTER (absorbed) AS num_absorbed
FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite
GROUP BY token, concept
ORDER BY len(ltrim(token)), num_absorbed DESC, token, concept
