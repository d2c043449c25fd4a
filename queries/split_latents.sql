-- One row per split latent at tau, the main latent first. f1: of the k-sparse probe with the latents up to this one.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, tau DOUBLE
-- columns: latent INTEGER, k BIGINT, cosine FLOAT, f1 DOUBLE, f1_gain DOUBLE
WITH split AS (
    SELECT *, unnest(split_latents) AS latent, generate_subscripts(split_latents, 1) AS k
    FROM splits($tau)
    WHERE suite = $suite AND sae = $sae AND concept = $concept
)
SELECT split.latent, split.k, cosines.cosine, step.f1, step.f1 - before.f1 AS f1_gain
FROM split
LEFT JOIN k_sparse AS step
    ON step.suite = $suite AND step.sae = $sae
    AND step.concept = $concept AND step.k = split.k
LEFT JOIN k_sparse AS before
    ON before.suite = $suite AND before.sae = $sae
    AND before.concept = $concept AND before.k = split.k - 1
LEFT JOIN (
    SELECT latent, cosine
    FROM cosines($suite, [$sae])
    WHERE concept = $concept
) AS cosines ON cosines.latent = split.latent
ORDER BY split.k
