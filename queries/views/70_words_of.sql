-- The words of a suite with the given token ids, in the given order; an empty list for none.
CREATE MACRO words_of(in_suite, ids) AS coalesce((
    SELECT list(token ORDER BY place)
    FROM (SELECT unnest(ids) AS token_id, generate_subscripts(ids, 1) AS place)
    JOIN tokens USING (token_id)
    WHERE tokens.suite = in_suite
), []);
