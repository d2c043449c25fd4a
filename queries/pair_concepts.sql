-- One row per concept of a family that was measured on at least one of two SAEs, which may be from two suites: rates,
-- split latents and scores of both, and how many tokens are absorbed only on the other SAE (gained) or only on this one
-- (lost), NULL if the tokens of one are not stored.
-- params: suite VARCHAR, sae VARCHAR, other_suite VARCHAR, other_sae VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE,
--         cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: concept VARCHAR, label VARCHAR, absorption_rate DOUBLE, other_absorption_rate DOUBLE,
--          num_split_latents BIGINT, other_num_split_latents BIGINT, precision DOUBLE, other_precision DOUBLE,
--          recall DOUBLE, other_recall DOUBLE, num_gained BIGINT, num_lost BIGINT
WITH both_saes AS (
    SELECT rates.*, concepts.label, concepts.position, num_rows IS NULL AS lacks_tokens,
        main.precision, main.recall
    FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin) AS rates
    JOIN concepts USING (suite, concept)
    LEFT JOIN (FROM k_sparse WHERE k = 1) AS main USING (suite, sae, concept)
    WHERE rates.suite IN ($suite, $other_suite) AND rates.sae IN ($sae, $other_sae)
),
this AS (FROM both_saes WHERE suite = $suite AND sae = $sae),
other AS (FROM both_saes WHERE suite = $other_suite AND sae = $other_sae),
absorbed AS (
    SELECT concept, token,
        bool_or(suite = $suite AND sae = $sae) AS on_this,
        bool_or(suite = $other_suite AND sae = $other_sae) AS on_other
    FROM verdicts($metric, $tau, $cosine_threshold, $effect_margin)
    WHERE family = $family AND suite IN ($suite, $other_suite) AND sae IN ($sae, $other_sae) AND absorbed
    GROUP BY concept, token
),
moved AS (
    SELECT concept, count(*) FILTER (on_other AND NOT on_this) AS num_gained,
        count(*) FILTER (on_this AND NOT on_other) AS num_lost
    FROM absorbed
    GROUP BY concept
)
SELECT coalesce(this.concept, other.concept) AS concept, coalesce(this.label, other.label) AS label,
    this.absorption_rate, other.absorption_rate AS other_absorption_rate,
    CAST(this.num_split_latents AS BIGINT) AS num_split_latents,
    CAST(other.num_split_latents AS BIGINT) AS other_num_split_latents,
    this.precision, other.precision AS other_precision,
    this.recall, other.recall AS other_recall,
    CASE WHEN NOT coalesce(this.lacks_tokens OR other.lacks_tokens, false) THEN coalesce(moved.num_gained, 0) END AS num_gained,
    CASE WHEN NOT coalesce(this.lacks_tokens OR other.lacks_tokens, false) THEN coalesce(moved.num_lost, 0) END AS num_lost
FROM this
FULL JOIN other USING (concept)
LEFT JOIN moved ON moved.concept = coalesce(this.concept, other.concept)
ORDER BY coalesce(this.position, other.position), coalesce(this.concept, other.concept)
