-- The concepts of a token: those that the vocabulary lists, and those that it was tested for.
CREATE MACRO concepts_of_token(of_suite, of_token) AS TABLE
SELECT concept
FROM token_concepts
JOIN (SELECT token_id FROM tokens WHERE suite = of_suite AND token = of_token) AS word USING (token_id)
WHERE suite = of_suite
UNION
SELECT concept
FROM scores
WHERE suite = of_suite AND token = of_token;
