-- The absorbing latent that is the clearest example of absorption: it absorbs several words and is active on few
-- others.
-- params: suite VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: sae VARCHAR, concept VARCHAR, latent INTEGER
SELECT sae, concept, latent
FROM (
    SELECT sae, concept, top_latent AS latent, count(*) AS num_absorbed
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND absorbed
    GROUP BY sae, concept, top_latent
) AS absorbing
JOIN (SELECT sae, latent, num_vocab_tokens FROM latents WHERE suite = $suite) AS facts USING (sae, latent)
-- Four words are enough to show what they have in common; among such latents, prefer those active on few others.
ORDER BY least(num_absorbed, 4) DESC, num_absorbed / num_vocab_tokens DESC, num_absorbed DESC, sae, concept, latent
LIMIT 1
