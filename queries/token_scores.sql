-- One row a tested token of a family on one SAE, with the numbers by which a metric of effects decides on it: a moved threshold
-- compares them (view scores). `silent_from`: the least tau from which no split latent fires on it; `fires_published`: whether one of
-- the suite's own does. `is_decided`: its scores decide; else the published verdict stands.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, metric VARCHAR
-- columns: concept VARCHAR, token VARCHAR, top_latent INTEGER, top_effect FLOAT, top_cosine FLOAT, margin FLOAT,
--          silent_from DOUBLE, fires_published BOOLEAN, is_decided BOOLEAN, published BOOLEAN
SELECT concept, token, top_latent, top_effect, top_cosine, margin, silent_from, fires_published, is_decided,
    CASE WHEN judged_by = $metric THEN is_absorption END AS published
FROM verdicts($metric, 0.0, 0.0, 0.0)
WHERE suite = $suite AND sae = $sae AND family = $family
ORDER BY concept, token
