-- One row an SAE of every open suite, in the order suite, layer, width, L0; unknown L0s come last.
-- columns: suite VARCHAR, sae VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, title VARCHAR,
--          n_latents INTEGER, n_latents_counted BOOLEAN, l0_measured DOUBLE, hook VARCHAR, architecture VARCHAR,
--          canonical BOOLEAN, neuronpedia_model VARCHAR, neuronpedia_source VARCHAR, cosines BOOLEAN,
--          variance_explained DOUBLE, loss_recovered DOUBLE, dead_fraction DOUBLE, tokens_seen BIGINT
SELECT *
FROM saes
ORDER BY suite, layer, width, l0 < 0, abs(l0)
