-- At most 30 rows: tokens of the vocabulary drawn at random, the same for the same seed; of the letter where
-- of_letter is true, else of all other letters. Test tokens only, where the split is known: no probe was fitted on them.
-- params: suite VARCHAR, letter VARCHAR, of_letter BOOLEAN, seed INTEGER
-- columns: token VARCHAR
SELECT token
FROM tokens
WHERE suite = $suite AND (letter = $letter) = $of_letter AND coalesce(is_test, true)
ORDER BY hash(token_id, $seed), token_id
LIMIT 30
