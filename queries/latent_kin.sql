-- One row per kin of the latent on another SAE of its layer, grouped by SAE, nearest first: its role for the concept
-- there (split_rank: its rank among the split latents, 0 if it is none; the number of the concept's tokens that it
-- absorbs), and up to five of the words on which both fire.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER, concept VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE
-- columns: other_sae VARCHAR, rank INTEGER, other_latent INTEGER, cosine FLOAT, overlap FLOAT, num_shared_words INTEGER,
--          shared_words VARCHAR[], split_rank INTEGER, num_absorbed BIGINT
SELECT near.other_sae, near.rank, near.other_latent, near.cosine, near.overlap, near.num_shared_words,
    words_of($suite, near.shared_words) AS shared_words,
    coalesce(roles.split_rank, 0) AS split_rank,
    coalesce(roles.num_absorbed, 0) AS num_absorbed
FROM (FROM kin WHERE suite = $suite AND sae = $sae AND latent = $latent) AS near
JOIN (FROM saes WHERE suite = $suite) AS saes ON saes.sae = near.other_sae
LEFT JOIN (
    SELECT sae, latent, split_rank, num_absorbed
    FROM roles($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND concept = $concept
) AS roles ON roles.sae = near.other_sae AND roles.latent = near.other_latent
ORDER BY saes.position, saes.seed, near.other_sae, near.rank
