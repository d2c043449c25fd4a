-- One row a tested token, with what a reader needs to question its verdict, sorted, and cut to a page of 25 (all, where
-- evidence_page is NULL); num_found counts all that match. A facet that is NULL takes any value.
-- evidence_token: beginning of the token, any case, leading space or not; evidence_verdict: 'all', 'absorbed',
-- 'not absorbed' or 'differs' (from the published verdict). `reason`: the first condition that fails, in the order of the
-- method; 'absorbed' where none does, 'published' where the row stores no scores and its verdict stands.
-- params: suite VARCHAR, facet_saes VARCHAR[], facet_concept VARCHAR, facet_latent INTEGER, metric VARCHAR, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE, evidence_token VARCHAR, evidence_verdict VARCHAR,
--         evidence_sort VARCHAR, evidence_descending BOOLEAN, evidence_page INTEGER
-- columns: sae VARCHAR, concept VARCHAR, layer INTEGER, architecture VARCHAR, width INTEGER, l0 DOUBLE, token VARCHAR,
--          split_activations FLOAT[], top_latent INTEGER, top_effect FLOAT, top_cosine FLOAT, second_latent INTEGER,
--          second_effect FLOAT, second_cosine FLOAT, margin FLOAT, absorbed BOOLEAN, published BOOLEAN,
--          reason VARCHAR, num_found BIGINT
WITH found AS (
    SELECT verdicts.*, saes.layer, saes.architecture, saes.width, saes.l0, saes.position, saes.seed, is_absorption AS published,
        CASE WHEN NOT is_decided THEN 'published'
            WHEN absorbed THEN 'absorbed'
            WHEN NOT silent THEN 'split latent fires'
            WHEN $metric = 'full' AND NOT projection >= 0.4 * total_projection THEN 'projection'
            WHEN $metric = 'full' THEN 'cosine'
            WHEN NOT top_effect < 0 THEN 'no effect'
            WHEN NOT margin >= $effect_margin THEN 'effect margin'
            ELSE 'cosine' END AS reason
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin) AS verdicts
    JOIN saes USING (suite, sae)
    WHERE suite = $suite
        AND ($facet_saes IS NULL OR list_contains($facet_saes, sae)) AND ($facet_concept IS NULL OR concept = $facet_concept)
        AND ($facet_latent IS NULL OR top_latent = $facet_latent)
        AND starts_with(lower(ltrim(token)), lower(ltrim($evidence_token)))
        AND CASE $evidence_verdict WHEN 'absorbed' THEN absorbed WHEN 'not absorbed' THEN NOT absorbed
            WHEN 'differs' THEN absorbed <> is_absorption ELSE true END
),
page AS (
    SELECT *, row_number() OVER () AS place
    FROM (
        FROM found
        ORDER BY
            CASE WHEN NOT $evidence_descending THEN CASE $evidence_sort WHEN 'token' THEN lower(ltrim(token))
                WHEN 'reason' THEN reason WHEN 'concept' THEN concept END END,
            CASE WHEN $evidence_descending THEN CASE $evidence_sort WHEN 'token' THEN lower(ltrim(token))
                WHEN 'reason' THEN reason WHEN 'concept' THEN concept END END DESC,
            CASE $evidence_sort WHEN 'top_effect' THEN top_effect WHEN 'margin' THEN margin
                WHEN 'top_cosine' THEN top_cosine WHEN 'top_latent' THEN top_latent
                WHEN 'second_latent' THEN second_latent WHEN 'second_effect' THEN second_effect
                WHEN 'sae' THEN position END
                * CASE WHEN $evidence_descending THEN -1 ELSE 1 END NULLS LAST,
            position, seed, sae, concept, token
        LIMIT CASE WHEN $evidence_page IS NOT NULL THEN 25 END OFFSET 25 * coalesce($evidence_page, 0)
    )
)
SELECT page.sae, page.concept, page.layer, page.architecture, page.width, page.l0, page.token,
    tested_tokens.split_activations,
    page.top_latent, page.top_effect, page.top_cosine, page.second_latent, page.second_effect, page.second_cosine,
    page.margin, page.absorbed, page.published, page.reason, (SELECT count(*) FROM found) AS num_found
FROM page
JOIN tested_tokens ON tested_tokens.rowid = page.token_row
ORDER BY page.place
