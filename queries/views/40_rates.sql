-- One row an SAE and a letter: counts, and the absorption rate with its interval, under the given thresholds.
CREATE MACRO rates(tau, cosine_threshold, effect_margin) AS TABLE
SELECT *,
    num_absorbed / sample_portion / nullif(num_probe_true_positives, 0) AS absorption_rate,
    wilson(num_absorbed / sample_portion, num_probe_true_positives) AS absorption_interval
FROM (
    SELECT letters.* REPLACE (coalesce(letters.sample_portion, 1) AS sample_portion, splits.split_latents AS split_latents),
        coalesce(counted.num_absorbed, known.zero) AS num_absorbed,
        coalesce(counted.num_absorbing_latents, known.zero) AS num_absorbing_latents,
        coalesce(counted.num_rows, known.zero) AS num_rows
    FROM letters
    JOIN splits(tau) AS splits USING (suite, layer, width, l0, letter)
    LEFT JOIN (
        SELECT suite, layer, width, l0, letter,
            count(*) AS num_rows,
            count(*) FILTER (absorbed) AS num_absorbed,
            count(DISTINCT top_latent) FILTER (absorbed) AS num_absorbing_latents
        FROM verdicts(tau, cosine_threshold, effect_margin)
        GROUP BY ALL
    ) AS counted USING (suite, layer, width, l0, letter)
    -- A letter without tested tokens has none absorbed; a suite without the whole table leaves it unknown.
    LEFT JOIN (SELECT DISTINCT suite, CAST(0 AS BIGINT) AS zero FROM tested_tokens) AS known USING (suite)
);
