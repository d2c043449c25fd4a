-- One row per given vocabulary token, in the given order, with its concepts in the family of `concept`: its activation
-- of the latent and of the concept's main latent. NULL: no activations are stored for that latent. 0: it is silent on
-- the token.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, latent INTEGER, main_latent INTEGER, words VARCHAR[]
-- columns: token VARCHAR, concepts VARCHAR[], is_test BOOLEAN, activation FLOAT, main_activation FLOAT
WITH words AS (
    SELECT token_id, any_value(token) AS token, any_value(is_test) AS is_test, min(place) AS place
    FROM (SELECT unnest($words) AS token, generate_subscripts($words, 1) AS place)
    JOIN tokens USING (token)
    WHERE suite = $suite
    GROUP BY token_id
),
stored AS (
    SELECT latent, token_ids, activations
    FROM token_activations
    WHERE suite = $suite AND sae = $sae AND latent IN ($latent, $main_latent)
),
fired AS (
    SELECT latent, unnest(token_ids) AS token_id, unnest(activations) AS activation
    FROM stored
),
family AS (
    SELECT suite, concept, position
    FROM concepts
    WHERE suite = $suite AND family = (SELECT family FROM concepts WHERE suite = $suite AND concept = $concept)
),
named AS (
    SELECT token_id, list(concept ORDER BY position, concept) AS concepts
    FROM token_concepts
    SEMI JOIN words USING (token_id)
    JOIN family USING (suite, concept)
    GROUP BY token_id
)
SELECT token, coalesce(named.concepts, []) AS concepts, is_test,
    CASE WHEN EXISTS (FROM stored WHERE latent = $latent) THEN coalesce(own.activation, 0) END AS activation,
    CASE WHEN EXISTS (FROM stored WHERE latent = $main_latent) THEN coalesce(main.activation, 0) END AS main_activation
FROM words
LEFT JOIN named USING (token_id)
LEFT JOIN fired AS own ON own.latent = $latent AND own.token_id = words.token_id
LEFT JOIN fired AS main ON main.latent = $main_latent AND main.token_id = words.token_id
ORDER BY words.place
