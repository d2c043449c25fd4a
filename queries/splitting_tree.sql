-- One row per latent in the splitting tree of a concept over SAEs of one layer, from the narrowest (level 1, 2, ...).
-- Level 1 has the main latent of the first SAE. Each further level has kin of the latents on the level before: the
-- eight with the largest product of cosines along the path (`strength`), and all others that are split or absorbing
-- latents of the concept. `parent` is the latent with which this product is largest. Split latents that are no kin
-- follow without a parent. `cosine`, `overlap` and the shared words refer to the parent. split_rank is 0 if the latent
-- is not split; num_absorbed is the number of the concept's tokens that it absorbs. Per SAE: its number of absorbing
-- latents of the concept (NULL if unknown), and whether kin on it are stored for any latent on the level before.
-- params: suite VARCHAR, tree_saes VARCHAR[], family VARCHAR, concept VARCHAR, metric VARCHAR, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: level INTEGER, sae VARCHAR, latent INTEGER, parent INTEGER, cosine FLOAT, overlap FLOAT,
--          num_shared_words INTEGER, shared_words VARCHAR[], strength DOUBLE, split_rank INTEGER, num_absorbed BIGINT,
--          num_words INTEGER, num_absorbing BIGINT, has_kin BOOLEAN
WITH RECURSIVE levels AS (
    SELECT unnest($tree_saes) AS sae, CAST(generate_subscripts($tree_saes, 1) AS INTEGER) AS level
),
with_role AS (
    SELECT level, sae, latent, split_rank, num_absorbed
    FROM roles($metric, $tau, $cosine_threshold, $effect_margin)
    JOIN levels USING (sae)
    WHERE suite = $suite AND concept = $concept AND (split_rank > 0 OR num_absorbed > 0)
),
near AS (
    SELECT former.level, kin.latent, kin.other_latent, kin.cosine, kin.overlap, kin.num_shared_words, kin.shared_words
    FROM kin
    JOIN levels AS former ON former.sae = kin.sae
    JOIN levels AS next ON next.sae = kin.other_sae AND next.level = former.level + 1
    WHERE kin.suite = $suite AND kin.cosine > 0
),
tree AS (
    SELECT level, latent, CAST(NULL AS INTEGER) AS parent, CAST(NULL AS FLOAT) AS cosine, CAST(NULL AS FLOAT) AS overlap,
        CAST(NULL AS INTEGER) AS num_shared_words, CAST(NULL AS INTEGER[]) AS shared_words, CAST(1 AS DOUBLE) AS strength
    FROM with_role
    WHERE level = 1 AND split_rank = 1
    UNION ALL
    SELECT level, latent, parent, cosine, overlap, num_shared_words, shared_words, strength
    FROM (
        SELECT found.*, row_number() OVER (ORDER BY strength DESC, found.latent) AS place, with_role.latent IS NOT NULL AS has_role
        FROM (
            SELECT CAST(tree.level + 1 AS INTEGER) AS level, near.other_latent AS latent, near.latent AS parent, near.cosine,
                near.overlap, near.num_shared_words, near.shared_words, tree.strength * near.cosine AS strength
            FROM tree
            JOIN near USING (level, latent)
            QUALIFY row_number() OVER (PARTITION BY near.other_latent ORDER BY tree.strength * near.cosine DESC, near.latent) = 1
        ) AS found
        LEFT JOIN with_role ON with_role.level = found.level AND with_role.latent = found.latent
    )
    WHERE place <= 8 OR has_role
),
nodes AS (
    FROM tree
    UNION ALL BY NAME
    SELECT level, latent
    FROM with_role
    WHERE level > 1 AND split_rank > 0 AND (level, latent) NOT IN (SELECT (level, latent) FROM tree)
        AND EXISTS (FROM tree)
)
SELECT nodes.level, levels.sae, nodes.latent, nodes.parent, nodes.cosine, nodes.overlap, nodes.num_shared_words,
    words_of($suite, nodes.shared_words) AS shared_words,
    nodes.strength,
    coalesce(with_role.split_rank, 0) AS split_rank,
    coalesce(with_role.num_absorbed, 0) AS num_absorbed,
    facts.num_vocab_tokens AS num_words,
    absorbing.num_absorbing_latents AS num_absorbing,
    nodes.level = 1 OR EXISTS (FROM near WHERE near.level = nodes.level - 1) AS has_kin
FROM nodes
JOIN levels USING (level)
LEFT JOIN with_role ON with_role.level = nodes.level AND with_role.latent = nodes.latent
LEFT JOIN (
    SELECT sae, num_absorbing_latents
    FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND concept = $concept AND list_contains($tree_saes, sae)
) AS absorbing ON absorbing.sae = levels.sae
LEFT JOIN (
    SELECT sae, latent, num_vocab_tokens
    FROM latents
    WHERE suite = $suite AND list_contains($tree_saes, sae)
) AS facts ON facts.sae = levels.sae AND facts.latent = nodes.latent
ORDER BY nodes.level, nodes.strength DESC NULLS LAST, nodes.latent
