-- One row per vocabulary word on which a latent fires or that has the concept. kind: 'hit' (it fires, and the word has the
-- concept), 'false alarm' (it fires, and the word has others of the family), 'unlisted' (it fires, and no concept of the family
-- is listed for the word) or 'miss' (it is silent). No rows if the suite does not store the latent's activations on the
-- vocabulary, or which words have the concept.
CREATE MACRO words_by(in_suite, in_sae, for_concept, by_latent) AS TABLE
SELECT token_id, token, is_test, activation,
    CASE WHEN own.token_id IS NOT NULL THEN CASE WHEN activation IS NULL THEN 'miss' ELSE 'hit' END
        WHEN listed.token_id IS NOT NULL THEN 'false alarm'
        ELSE 'unlisted' END AS kind
FROM (
    SELECT token_id, token, is_test
    FROM tokens
    WHERE suite = in_suite
        AND EXISTS (FROM token_activations WHERE suite = in_suite AND sae = in_sae AND latent = by_latent)
        AND EXISTS (FROM token_concepts WHERE suite = in_suite AND concept = for_concept)
)
LEFT JOIN (
    SELECT unnest(token_ids) AS token_id, unnest(activations) AS activation
    FROM token_activations
    WHERE suite = in_suite AND sae = in_sae AND latent = by_latent
) AS fired USING (token_id)
LEFT JOIN (SELECT token_id FROM token_concepts WHERE suite = in_suite AND concept = for_concept) AS own USING (token_id)
LEFT JOIN (
    SELECT DISTINCT token_id
    FROM token_concepts
    JOIN concepts USING (suite, concept)
    WHERE suite = in_suite AND family = (SELECT family FROM concepts WHERE suite = in_suite AND concept = for_concept)
) AS listed USING (token_id)
WHERE activation IS NOT NULL OR own.token_id IS NOT NULL;
