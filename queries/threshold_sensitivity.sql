-- One row per value of one threshold, with the other two fixed: the absorption rate of this SAE, and the mean over all
-- SAEs of the suite whose tested tokens are stored, each a mean over the concepts of a family. sensitivity_of: 'tau',
-- 'cosine_threshold' or 'effect_margin'. The values are 41 from sensitivity_low to sensitivity_high, the current one
-- and the suite's own. num_absorbed is that of this SAE; for concepts without stored tokens it is the published number.
-- NULL: unknown. At other values than the current one, a concept whose rate was published without tokens is omitted.
-- params: suite VARCHAR, sae VARCHAR, family VARCHAR, metric VARCHAR, tau DOUBLE, cosine_threshold DOUBLE,
--         effect_margin DOUBLE, mean_policy VARCHAR, sensitivity_of VARCHAR, sensitivity_low DOUBLE, sensitivity_high DOUBLE
-- columns: value DOUBLE, absorption_rate DOUBLE, suite_absorption_rate DOUBLE, num_absorbed BIGINT
WITH grid AS (
    SELECT value, value = $tau AND $sensitivity_of = 'tau' OR value = $cosine_threshold AND $sensitivity_of = 'cosine_threshold'
        OR value = $effect_margin AND $sensitivity_of = 'effect_margin' OR NOT moves AS in_force
    FROM (
        SELECT round($sensitivity_low + ($sensitivity_high - $sensitivity_low) * step / 40, 9) AS value
        FROM range(41) AS steps(step)
        UNION
        SELECT CASE $sensitivity_of WHEN 'tau' THEN $tau WHEN 'cosine_threshold' THEN $cosine_threshold
            ELSE $effect_margin END
        UNION
        SELECT CASE $sensitivity_of WHEN 'tau' THEN tau WHEN 'cosine_threshold' THEN cosine_threshold
            ELSE effect_margin END
        FROM suites
        WHERE suite = $suite
    ), (
        SELECT CASE $sensitivity_of WHEN 'tau' THEN tau WHEN 'cosine_threshold' THEN cosine_threshold
            ELSE effect_margin END AS moves
        FROM movable
        WHERE suite = $suite AND metric = $metric
    )
),
-- The contribution of one absorbed token to the sum of its SAE's rates, and of a concept whose rate has no tokens; the latter is
-- known at the current threshold, and at others only if it is 0 at any threshold. As in sae_means, concepts of unknown rate are
-- omitted.
tested AS (
    SELECT sae, true AS is_tested
    FROM tested_saes
    WHERE suite = $suite AND metric = $metric
),
weights AS (
    SELECT sae, concept,
        sae = $sae AS is_this,
        coalesce(NOT is_fraction($metric) AND num_rows > 0 AND num_probe_true_positives > 0, false) AS has_tokens,
        has_tokens OR coalesce(num_probe_true_positives = 0, false)
            OR coalesce(num_rows = 0 AND is_tested, false) AS stays,
        1 / sample_portion / nullif(num_probe_true_positives, 0) AS weight,
        count(*) OVER (PARTITION BY sae) AS num_counted,
        count(*) FILTER (stays) OVER (PARTITION BY sae) AS num_staying,
        CASE WHEN has_tokens THEN 0 ELSE rate_in_mean(absorption_rate, num_probe_true_positives, num_rows) END AS rate,
        CASE WHEN has_tokens THEN 0 ELSE num_absorbed END AS num_without_tokens
    FROM rates($metric, $family, $tau, $cosine_threshold, $effect_margin)
    LEFT JOIN tested USING (sae)
    WHERE suite = $suite AND rate_in_mean(absorption_rate, num_probe_true_positives, num_rows) IS NOT NULL
        AND counted($mean_policy, num_candidates, num_rows, is_published, num_probe_true_positives)
    QUALIFY bool_or(num_rows > 0) OVER (PARTITION BY sae) OR bool_or(num_rows > 0) OVER () IS NOT TRUE
),
whole AS (
    SELECT in_force,
        count(DISTINCT sae) AS num_saes,
        bool_or(is_this) AS has_this,
        coalesce(sum(rate / CASE WHEN in_force THEN num_counted ELSE num_staying END) FILTER (is_this), 0) AS rate,
        sum(rate / CASE WHEN in_force THEN num_counted ELSE num_staying END) AS suite_rate,
        CASE WHEN bool_and(num_without_tokens IS NOT NULL) FILTER (is_this)
            THEN CAST(sum(num_without_tokens) FILTER (is_this) AS BIGINT) END AS num_without_tokens
    FROM weights, (VALUES (true), (false)) AS places(in_force)
    WHERE in_force OR stays
    GROUP BY in_force
),
-- The tokens whose verdict depends on this threshold only: those that are absorbed at its least restrictive value.
-- `stands`: their verdict does not depend on it either.
open_tokens AS (
    SELECT weights.is_this, weights.weight / num_counted AS weight, weights.weight / num_staying AS staying_weight,
        NOT is_decided OR ($metric = 'full' AND $sensitivity_of = 'effect_margin') AS stands,
        tau_published, fires_published, silent_from, top_cosine, margin
    FROM verdicts(
        $metric, $tau,
        CASE $sensitivity_of WHEN 'cosine_threshold' THEN -2 ELSE $cosine_threshold END,
        CASE $sensitivity_of WHEN 'effect_margin' THEN -1e30 ELSE $effect_margin END
    )
    JOIN weights USING (sae, concept)
    WHERE suite = $suite AND family = $family AND has_tokens
        AND CASE WHEN NOT is_decided THEN is_absorption
            WHEN $sensitivity_of <> 'tau' THEN absorbed
            WHEN $metric = 'full' THEN full_absorption(true, projection, total_projection, top_cosine, $cosine_threshold)
            ELSE ablation(true, top_effect, margin, top_cosine, $cosine_threshold, $effect_margin) END
),
-- A fraction, which only tau affects: its mean over a concept's true positives for each list of split latents that some value
-- gives, and at each value the mean over concepts. As in rates, it is the stored one at the suite's own tau, and 0 without latents.
fraction_splits AS (
    SELECT value, weights.sae, concept, stays, num_probe_true_positives, num_candidates,
        split_at(value, tau_published, split_latents, ranked_latents, ranked_rises) AS split,
        CASE WHEN value = tau_published OR ranked_latents IS NULL THEN measured.absorption_fraction END AS standing
    FROM grid
    CROSS JOIN weights
    JOIN measured USING (sae, concept)
    WHERE is_fraction($metric) AND $sensitivity_of = 'tau' AND suite = $suite AND measured.metric = $metric AND NOT in_force
),
fractions_by_split AS (
    SELECT sae, concept, split, count(*) AS num_rows,
        count(*) FILTER (latents_projection IS NOT NULL) AS num_known,
        sum(fraction_by($metric, carried_by_split(split, latents, projections),
            carried_by_absorbing(split, latents, projections, cosines), latents_projection, total_projection)) AS fraction
    FROM (SELECT DISTINCT sae, concept, split FROM fraction_splits WHERE standing IS NULL)
    JOIN tested_tokens USING (sae, concept)
    WHERE suite = $suite
    GROUP BY ALL
),
fractions_by_sae AS (
    SELECT value, sae, avg(CASE WHEN stays THEN 0 ELSE coalesce(standing,
        CASE WHEN num_known = num_rows AND num_rows IN (num_candidates, num_probe_true_positives)
            THEN fraction / num_probe_true_positives END) END) AS rate
    FROM fraction_splits
    LEFT JOIN fractions_by_split USING (sae, concept, split)
    GROUP BY value, sae
),
fractions_by_value AS (
    SELECT value, any_value(rate) FILTER (sae = $sae) AS rate, avg(rate) AS suite_rate
    FROM fractions_by_sae
    GROUP BY value
),
summed AS (
    SELECT value,
        sum(CASE WHEN in_force THEN weight ELSE staying_weight END) FILTER (is_this) AS rate,
        sum(CASE WHEN in_force THEN weight ELSE staying_weight END) AS suite_rate,
        count(*) FILTER (is_this) AS num_absorbed
    FROM grid, open_tokens
    WHERE stands OR CASE $sensitivity_of
        WHEN 'tau' THEN CASE WHEN value = tau_published THEN NOT fires_published ELSE value >= silent_from END
        WHEN 'cosine_threshold' THEN coalesce(top_cosine >= value, true)
        ELSE margin >= value END
    GROUP BY value
)
SELECT value,
    CASE WHEN fractions_by_value.value IS NOT NULL THEN fractions_by_value.rate
        WHEN has_this THEN coalesce(summed.rate, 0) + whole.rate END AS absorption_rate,
    CASE WHEN fractions_by_value.value IS NOT NULL THEN fractions_by_value.suite_rate
        ELSE (coalesce(summed.suite_rate, 0) + whole.suite_rate) / num_saes END AS suite_absorption_rate,
    CASE WHEN has_this THEN coalesce(summed.num_absorbed, 0) + whole.num_without_tokens END AS num_absorbed
FROM grid
LEFT JOIN whole USING (in_force)
LEFT JOIN summed USING (value)
LEFT JOIN fractions_by_value USING (value)
WHERE (SELECT count(*) FROM weights) > 0
ORDER BY value
