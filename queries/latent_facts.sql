-- At most one row: statistics of one latent on text and vocabulary, and which other data the suite has on it.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: density FLOAT, max_activation FLOAT, mean_activation FLOAT, num_vocab_tokens INTEGER,
--          max_activation_vocab FLOAT, encoder_decoder_cosine FLOAT, top_concept VARCHAR, top_concept_cosine FLOAT
SELECT density, max_activation, mean_activation, num_vocab_tokens, max_activation_vocab, encoder_decoder_cosine,
    top_concept, top_concept_cosine
FROM latents
WHERE suite = $suite AND sae = $sae AND latent = $latent
