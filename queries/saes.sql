-- One row per SAE of every open suite, in the order of the suite.
-- columns: suite VARCHAR, sae VARCHAR, title VARCHAR, layer INTEGER, hook VARCHAR, width INTEGER, n_latents INTEGER,
--          n_latents_counted BOOLEAN, l0 DOUBLE, l0_nominal INTEGER, architecture VARCHAR, recipe VARCHAR, seed INTEGER,
--          repeat_of VARCHAR, tokens_seen BIGINT, variance_explained DOUBLE, loss_recovered DOUBLE,
--          dead_fraction DOUBLE, neuronpedia_model VARCHAR, neuronpedia_source VARCHAR, canonical BOOLEAN,
--          cosines BOOLEAN, attributes MAP(VARCHAR, VARCHAR)
SELECT * EXCLUDE (position)
FROM saes
ORDER BY suite, position, seed, sae
