-- One row per role of the latent with this number on an SAE of the suite: split_rank is its rank among the split
-- latents of the concept (0 if it is none), num_absorbed the number of the concept's tokens that it absorbs. Numbers
-- are not comparable across SAEs. No rows if latent is NULL.
-- params: suite VARCHAR, latent INTEGER, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: sae VARCHAR, concept VARCHAR, split_rank INTEGER, num_absorbed BIGINT, mean_effect DOUBLE
SELECT sae, concept,
    coalesce(split_rank, 0) AS split_rank,
    coalesce(num_absorbed, 0) AS num_absorbed,
    mean_effect
FROM (
    SELECT sae, concept, CAST(list_position(split_latents, $latent) AS INTEGER) AS split_rank
    FROM splits($tau)
    WHERE suite = $suite AND list_contains(split_latents, $latent)
) AS split
FULL JOIN (
    SELECT sae, concept, count(*) AS num_absorbed, avg(top_effect) AS mean_effect
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND top_latent = $latent AND absorbed
    GROUP BY sae, concept
) AS absorbing USING (sae, concept)
JOIN (FROM saes WHERE suite = $suite) AS saes USING (sae)
ORDER BY saes.position, saes.seed, sae, num_absorbed DESC, concept
