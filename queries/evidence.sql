-- One row per tested token with everything that decides on its verdict, sorted, and limited to a page of 25 rows (no
-- limit if evidence_page is NULL). num_found: number of all matching rows. A facet that is NULL matches any value.
-- evidence_token: prefix of the token, ignoring case and a leading space. evidence_verdict: 'all', 'absorbed', 'not
-- absorbed', 'differs' (from the published verdict) or 'disagree' (absorbed by one metric and not by another). reason:
-- see functions/reason.sql. projection: for full absorption only. fraction: for fractions only. projected_share:
-- projection divided by the token's total projection, if that is positive. absorbed_by, not_absorbed_by: the token's
-- metrics by verdict, if the suite has several.
-- params: suite VARCHAR, facet_saes VARCHAR[], facet_concept VARCHAR, facet_latent INTEGER, metric VARCHAR, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE, evidence_token VARCHAR, evidence_verdict VARCHAR,
--         evidence_sort VARCHAR, evidence_descending BOOLEAN, evidence_page INTEGER
-- together: facet_concept (concept) of facet_saes without evidence_page
-- columns: sae VARCHAR, concept VARCHAR, layer INTEGER, architecture VARCHAR, width INTEGER, l0 DOUBLE, token VARCHAR,
--          split_activations FLOAT[], top_latent INTEGER, top_effect FLOAT, top_cosine FLOAT, second_latent INTEGER,
--          second_effect FLOAT, second_cosine FLOAT, margin FLOAT, projection FLOAT, projected_share FLOAT, fraction FLOAT,
--          absorbed BOOLEAN, published BOOLEAN, reason VARCHAR, absorbed_by VARCHAR[], not_absorbed_by VARCHAR[],
--          num_found BIGINT
-- Filter and sort a few columns first, if possible by numbers (token_row orders by concept and token), and add the others to one
-- page of rows only.
WITH judged AS NOT MATERIALIZED (
    SELECT verdicts.* REPLACE (
            CASE WHEN $metric = 'full' THEN projection END AS projection,
            CASE WHEN is_fraction($metric) THEN fraction END AS fraction
        ),
        CASE WHEN judged_by = $metric THEN is_absorption END AS published,
        reason($metric, is_decided, absorbed, silent, top_effect, margin, top_cosine, $cosine_threshold, $effect_margin) AS reason
    FROM current_verdicts($metric, $tau, $cosine_threshold, $effect_margin) AS verdicts
    WHERE suite = $suite
),
disagreeing AS (
    SELECT sae, concept, token
    FROM verdicts(NULL, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND $evidence_verdict = 'disagree'
        AND ($facet_saes IS NULL OR list_contains($facet_saes, sae)) AND ($facet_concept IS NULL OR concept = $facet_concept)
    GROUP BY ALL
    HAVING bool_or(absorbed) AND NOT bool_and(absorbed)
),
found AS (
    SELECT token_row, sae_number,
        CASE $evidence_sort WHEN 'token' THEN lower(ltrim(token)) WHEN 'reason' THEN reason WHEN 'concept' THEN concept
            END AS text_key,
        CASE $evidence_sort WHEN 'top_effect' THEN top_effect WHEN 'margin' THEN margin
            WHEN 'top_cosine' THEN top_cosine WHEN 'top_latent' THEN top_latent
            WHEN 'projection' THEN projection WHEN 'fraction' THEN fraction
            WHEN 'second_latent' THEN second_latent WHEN 'second_effect' THEN second_effect
            WHEN 'sae' THEN sae_number END AS number_key
    FROM judged
    WHERE ($facet_saes IS NULL OR list_contains($facet_saes, sae)) AND ($facet_concept IS NULL OR concept = $facet_concept)
        AND ($facet_latent IS NULL OR top_latent = $facet_latent)
        AND ($evidence_token = '' OR starts_with(lower(ltrim(token)), lower(ltrim($evidence_token))))
        AND CASE $evidence_verdict WHEN 'absorbed' THEN absorbed WHEN 'not absorbed' THEN NOT absorbed
            WHEN 'differs' THEN absorbed <> published
            WHEN 'disagree' THEN (sae, concept, token) IN (SELECT (sae, concept, token) FROM disagreeing)
            ELSE true END
),
page AS (
    SELECT token_row, row_number() OVER () AS place
    FROM (
        FROM found
        ORDER BY
            CASE WHEN NOT $evidence_descending THEN text_key END, CASE WHEN $evidence_descending THEN text_key END DESC,
            number_key * CASE WHEN $evidence_descending THEN -1 ELSE 1 END NULLS LAST,
            sae_number, token_row
        LIMIT CASE WHEN $evidence_page IS NOT NULL THEN 25 END OFFSET 25 * coalesce($evidence_page, 0)
    )
),
shown AS (
    SELECT judged.*, saes.layer, saes.architecture, saes.width, saes.l0, place
    FROM page
    JOIN judged USING (token_row)
    JOIN saes USING (suite, sae)
),
compared AS (
    SELECT sae, concept, token,
        list(metric ORDER BY metric) FILTER (absorbed) AS absorbed_by,
        list(metric ORDER BY metric) FILTER (NOT absorbed) AS not_absorbed_by
    FROM verdicts(NULL, $tau, $cosine_threshold, $effect_margin)
    SEMI JOIN shown USING (sae, concept, token)
    WHERE suite = $suite AND num_judging > 1
    GROUP BY ALL
)
SELECT shown.sae, shown.concept, layer, architecture, width, l0, shown.token,
    tested_tokens.split_activations,
    shown.top_latent, shown.top_effect, shown.top_cosine, shown.second_latent, shown.second_effect, shown.second_cosine,
    margin, projection,
    CAST(CASE WHEN shown.total_projection > 0 THEN projection / shown.total_projection END AS FLOAT) AS projected_share,
    CAST(fraction AS FLOAT) AS fraction, absorbed, published, reason,
    absorbed_by, not_absorbed_by,
    CASE WHEN $evidence_page IS NOT NULL THEN (SELECT count(*) FROM found) END AS num_found
FROM shown
LEFT JOIN compared USING (sae, concept, token)
JOIN tested_tokens ON tested_tokens.rowid = token_row
ORDER BY place
