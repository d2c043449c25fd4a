-- One row a split latent at tau, the main latent first; f1 is the probe's with all latents up to this one.
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, letter VARCHAR, tau DOUBLE
-- columns: latent INTEGER, k BIGINT, cosine FLOAT, f1 DOUBLE, f1_gain DOUBLE
WITH split AS (
    SELECT *, unnest(split_latents) AS latent, generate_subscripts(split_latents, 1) AS k
    FROM splits($tau)
    WHERE suite = $suite AND layer = $layer AND width = $width AND l0 = $l0 AND letter = $letter
)
SELECT split.latent, split.k, cosines.cosine, step.f1, step.f1 - before.f1 AS f1_gain
FROM split
LEFT JOIN k_sparse AS step
    ON step.suite = $suite AND step.layer = $layer AND step.width = $width AND step.l0 = $l0
    AND step.letter = $letter AND step.k = split.k
LEFT JOIN k_sparse AS before
    ON before.suite = $suite AND before.layer = $layer AND before.width = $width AND before.l0 = $l0
    AND before.letter = $letter AND before.k = split.k - 1
LEFT JOIN (
    SELECT latent, cosine
    FROM cosines($suite, $layer, $width, $l0)
    WHERE letter = $letter
) AS cosines ON cosines.latent = split.latent
ORDER BY split.k
