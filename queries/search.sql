-- At most 20 rows: the results of a search in the suite. kind 'concept': a concept whose label, or a word of whose
-- phrase, begins with the text; or whose label begins with the text's last word, while its other words begin words of
-- the phrase or of the family's title ("first letter L"). kind 'token': a tested token that begins with the text (ignoring case and a leading
-- space), with its concept, the number of SAEs on which it was tested, and on how many of these it is absorbed. kind
-- 'word': a token of the vocabulary that begins with the text and was tested on no SAE, with one of its concepts. kind
-- 'latent': a latent of this SAE.
-- params: suite VARCHAR, sae VARCHAR, search VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: kind VARCHAR, token VARCHAR, concept VARCHAR, latent INTEGER, num_saes BIGINT, num_absorbed BIGINT
WITH typed AS (
    SELECT string_split_regex(lower(trim($search)), '\s+') AS words
), found AS (
    SELECT token, concept, count(*) AS num_saes, count(*) FILTER (absorbed) AS num_absorbed
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND ltrim($search) <> '' AND starts_with(lower(ltrim(token)), lower(ltrim($search)))
    GROUP BY token, concept
)
SELECT 'latent' AS kind, NULL AS token, NULL AS concept, TRY_CAST(trim($search) AS INTEGER) AS latent,
    NULL AS num_saes, NULL AS num_absorbed
FROM saes
WHERE suite = $suite AND sae = $sae
    AND regexp_full_match(trim($search), '[0-9]{1,9}')
    AND (TRY_CAST(trim($search) AS INTEGER) < n_latents OR NOT n_latents_counted)
UNION ALL
FROM (
    SELECT 'concept', NULL, concept, NULL, NULL, NULL
    FROM concepts
    CROSS JOIN typed
    LEFT JOIN families USING (suite, family)
    WHERE suite = $suite AND ltrim($search) <> '' AND (
        starts_with(lower(label), lower(trim($search)))
        OR len(trim($search)) > 1 AND contains(lower(' ' || phrase), lower(' ' || trim($search)))
        OR len(words) > 1 AND starts_with(lower(label), words[-1]) AND list_bool_and(list_transform(
            words[:-2], lambda word: contains(lower(concat_ws(' ', '', noun, title, phrase)), ' ' || word)
        ))
    )
    ORDER BY lower(label) <> lower(trim($search)), len(label), families.position, concepts.position, concept
    LIMIT 5
)
UNION ALL
FROM (
    SELECT 'token', token, concept, NULL, num_saes, num_absorbed
    FROM found
    ORDER BY len(ltrim(token)), num_absorbed DESC, token, concept
    LIMIT 11
)
UNION ALL
FROM (
    SELECT 'word', token, min(concept), NULL, NULL, NULL
    FROM tokens
    JOIN token_concepts USING (suite, token_id)
    WHERE suite = $suite AND ltrim($search) <> '' AND starts_with(lower(ltrim(token)), lower(ltrim($search)))
        AND token NOT IN (SELECT token FROM found)
    GROUP BY token
    ORDER BY len(ltrim(token)), token
    LIMIT 3
)
