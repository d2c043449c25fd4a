-- At most 60 rows: random tokens of the vocabulary, the same for the same seed; 30 of the concept, then 30 others. If
-- the split is known, only test tokens, on which no probe was fitted.
-- params: suite VARCHAR, concept VARCHAR, seed INTEGER
-- columns: token VARCHAR, of_concept BOOLEAN
SELECT token, own.token_id IS NOT NULL AS of_concept
FROM tokens
LEFT JOIN (
    SELECT token_id
    FROM token_concepts
    WHERE suite = $suite AND concept = $concept
) AS own USING (token_id)
WHERE suite = $suite AND coalesce(is_test, true)
QUALIFY row_number() OVER (PARTITION BY of_concept ORDER BY hash(token_id, $seed), token_id) <= 30
ORDER BY of_concept DESC, hash(token_id, $seed), token_id
