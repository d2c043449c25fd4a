-- One row per SAE and concept: its published split latents, and the columns that decide on them at any tau, computed
-- once when the store opens, so that a change of tau only cuts lists and groups no rows. `pair`, suite_number and
-- sae_number (in the order in which SAEs are listed) are integer keys: joining, grouping and sorting by a number takes half the
-- time. The rows of a family are adjacent, here and in `measured` and `scores`, so a query for one family skips the others.
CREATE TABLE ranked AS
SELECT CAST(row_number() OVER (ORDER BY suite, family, sae, concept) AS INTEGER) AS pair,
    CAST(dense_rank() OVER (ORDER BY suite) AS INTEGER) AS suite_number,
    CAST(dense_rank() OVER (ORDER BY suite, saes.position, sae) AS INTEGER) AS sae_number,
    suite, sae, concept, concepts.family, published.split_latents,
    tau AS tau_published, cosine_threshold AS cosine_published, effect_margin AS margin_published,
    ranks.latents AS ranked_latents, ranks.rises AS ranked_rises
FROM (
    -- One SAE and concept may be measured by several metrics.
    SELECT suite, sae, concept, any_value(split_latents) AS split_latents
    FROM measurements
    GROUP BY suite, sae, concept
) AS published
JOIN suites USING (suite)
LEFT JOIN saes USING (suite, sae)
LEFT JOIN concepts USING (suite, concept)
LEFT JOIN ranks USING (suite, sae, concept)
ORDER BY pair;
