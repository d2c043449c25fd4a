-- One row per family of concepts of every open suite, in the order of the manifest.
-- columns: suite VARCHAR, family VARCHAR, title VARCHAR, noun VARCHAR, exclusive BOOLEAN
SELECT suite, family, title, noun, exclusive
FROM families
ORDER BY suite, position
