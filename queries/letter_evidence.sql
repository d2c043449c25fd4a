-- One row a tested token of one letter on one SAE, sorted, and cut to one page of 50; num_found counts all that match.
-- evidence_token: beginning of the token, any case, leading space or not; evidence_verdict: 'all', 'absorbed',
-- 'not absorbed' or 'differs' (from the published verdict).
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, letter VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE, evidence_token VARCHAR, evidence_verdict VARCHAR, evidence_sort VARCHAR,
--         evidence_descending BOOLEAN, evidence_page INTEGER
-- columns: layer INTEGER, width INTEGER, l0 INTEGER, letter VARCHAR, token VARCHAR, split_latents INTEGER[],
--          split_activations FLOAT[], top_latent INTEGER, top_effect FLOAT, top_cosine FLOAT, second_latent INTEGER,
--          second_effect FLOAT, second_cosine FLOAT, margin FLOAT, absorbed BOOLEAN, published BOOLEAN,
--          reason VARCHAR, num_found BIGINT
SELECT layer, width, l0, letter, token, split_latents, split_activations, top_latent, top_effect, top_cosine,
    second_latent, second_effect, second_cosine, margin, absorbed, published, reason, count(*) OVER () AS num_found
FROM evidence($tau, $cosine_threshold, $effect_margin)
WHERE suite = $suite
    AND layer = $layer AND width = $width AND l0 = $l0 AND letter = $letter
    AND starts_with(lower(ltrim(token)), lower(ltrim($evidence_token)))
    AND CASE $evidence_verdict WHEN 'absorbed' THEN absorbed WHEN 'not absorbed' THEN NOT absorbed
        WHEN 'differs' THEN absorbed <> published ELSE true END
ORDER BY
    CASE WHEN NOT $evidence_descending THEN
        CASE $evidence_sort WHEN 'token' THEN lower(ltrim(token)) WHEN 'reason' THEN reason END END,
    CASE WHEN $evidence_descending THEN
        CASE $evidence_sort WHEN 'token' THEN lower(ltrim(token)) WHEN 'reason' THEN reason END END DESC,
    CASE $evidence_sort WHEN 'top_effect' THEN top_effect WHEN 'margin' THEN margin WHEN 'top_cosine' THEN top_cosine
        WHEN 'top_latent' THEN top_latent WHEN 'layer' THEN layer WHEN 'width' THEN width WHEN 'l0' THEN l0 END
        * CASE WHEN $evidence_descending THEN -1 ELSE 1 END NULLS LAST,
    layer, width, l0, letter, token
LIMIT 50 OFFSET 50 * $evidence_page
