-- One row per tested token of a family on one SAE, with the scores that a metric based on effects compares with
-- thresholds (view scores). `silent_from`: the lowest tau from which no split latent fires on it. `fires_published`:
-- whether one of the suite's own split latents fires. `is_decided`: whether the scores decide; otherwise the published
-- verdict is used.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, metric VARCHAR
-- columns: concept VARCHAR, token VARCHAR, top_latent INTEGER, top_effect FLOAT, top_cosine FLOAT, margin FLOAT,
--          silent_from DOUBLE, fires_published BOOLEAN, is_decided BOOLEAN, published BOOLEAN
SELECT concept, token, top_latent, top_effect, top_cosine, margin, silent_from, fires_published, is_decided,
    CASE WHEN judged_by = $metric THEN is_absorption END AS published
FROM verdicts($metric, 0.0, 0.0, 0.0)
WHERE suite = $suite AND sae = $sae AND family = $family
ORDER BY concept, token
