-- One row per concept of every open suite, in the order of families and of concepts within them.
-- columns: suite VARCHAR, concept VARCHAR, family VARCHAR, label VARCHAR, phrase VARCHAR, parent VARCHAR,
--          num_tokens INTEGER, position INTEGER
SELECT concepts.suite, concept, concepts.family, label, phrase, parent, num_tokens, concepts.position
FROM concepts
LEFT JOIN families USING (suite, family)
ORDER BY concepts.suite, families.position, concepts.family, concepts.position, concept
