-- At most 60 rows: tokens of the vocabulary drawn at random, the same for the same seed; 30 of the letter, then 30 of
-- all other letters. Test tokens only, where the split is known: no probe was fitted on them.
-- params: suite VARCHAR, concept VARCHAR, seed INTEGER
-- columns: token VARCHAR, of_letter BOOLEAN
WITH family AS (
    SELECT token_id, bool_or(concept = $concept) AS of_letter
    FROM token_concepts
    WHERE suite = $suite AND split_part(concept, '.', 1) = split_part($concept, '.', 1)
    GROUP BY token_id
)
SELECT token, of_letter
FROM tokens
JOIN family USING (token_id)
WHERE suite = $suite AND coalesce(is_test, true)
QUALIFY row_number() OVER (PARTITION BY of_letter ORDER BY hash(token_id, $seed), token_id) <= 30
ORDER BY of_letter DESC, hash(token_id, $seed), token_id
