-- At most 10 rows: vocabulary words and tested tokens that are similar to a text, the most similar first. kind 'itself': equal;
-- 'form': equal except for case and leading space; 'begins': begins with the text; 'near': differs by one or two letters.
-- params: suite VARCHAR, token VARCHAR
-- columns: token VARCHAR, kind VARCHAR, is_test BOOLEAN, in_vocabulary BOOLEAN
WITH known AS (
    SELECT token, bool_or(is_test) AS is_test, bool_or(in_vocabulary) AS in_vocabulary
    FROM (
        SELECT token, is_test, true AS in_vocabulary FROM tokens WHERE suite = $suite
        UNION ALL
        SELECT DISTINCT token, NULL, false FROM scores WHERE suite = $suite
    )
    GROUP BY token
),
compared AS (
    SELECT *, lower(ltrim(token)) AS plain, lower(ltrim($token)) AS wanted,
        CASE WHEN token = $token THEN 'itself'
            WHEN plain = wanted THEN 'form'
            WHEN starts_with(plain, wanted) THEN 'begins'
            WHEN least(len(wanted), len(plain)) > 2 AND abs(len(plain) - len(wanted)) < 3
                AND levenshtein(plain, wanted) < 3 THEN 'near' END AS kind
    FROM known
    WHERE ltrim($token) <> ''
)
SELECT token, kind, is_test, in_vocabulary
FROM compared
WHERE kind IS NOT NULL
ORDER BY list_position(['itself', 'form', 'begins', 'near'], kind),
    CASE WHEN kind = 'near' THEN levenshtein(plain, wanted) END, len(plain), plain, token
LIMIT 10
