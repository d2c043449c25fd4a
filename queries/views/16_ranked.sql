-- One row an SAE and a concept: its split latents as they were published, and all that decides on them at any tau, computed
-- once, when the store opens: a change of tau then cuts lists and groups no rows. `pair` numbers them, as suite_number and
-- sae_number (in the order in which SAEs are listed) do their suites and SAEs: joining, grouping and sorting by a number takes
-- half the time. Those of a family lie together, here and in the tables made of this one: a question of one reads no others.
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
