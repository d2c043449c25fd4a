-- At most 60 rows: tokens of the vocabulary drawn at random, the same for the same seed; 30 of the letter, then 30 of
-- all other letters. Test tokens only, where the split is known: no probe was fitted on them.
-- params: suite VARCHAR, concept VARCHAR, seed INTEGER
-- columns: token VARCHAR, of_letter BOOLEAN
SELECT token, concept = $concept AS of_letter
FROM tokens
WHERE suite = $suite AND concept IS NOT NULL AND coalesce(is_test, true)
QUALIFY row_number() OVER (PARTITION BY concept = $concept ORDER BY hash(token_id, $seed), token_id) <= 30
ORDER BY of_letter DESC, hash(token_id, $seed), token_id
