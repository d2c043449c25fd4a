-- One row a token of the letter that is absorbed on one of two SAEs of a suite: by which latent on each (NULL: not).
-- params: suite VARCHAR, layer INTEGER, width INTEGER, l0 INTEGER, other_layer INTEGER, other_width INTEGER,
--         other_l0 INTEGER, letter VARCHAR, tau DOUBLE, cosine_threshold DOUBLE, effect_margin DOUBLE
-- columns: token VARCHAR, latent INTEGER, effect FLOAT, other_latent INTEGER, other_effect FLOAT
WITH absorbed AS (
    SELECT layer, width, l0, token, top_latent AS latent, top_effect AS effect
    FROM verdicts($tau, $cosine_threshold, $effect_margin)
    WHERE suite = $suite AND letter = $letter AND absorbed
)
SELECT coalesce(this.token, other.token) AS token, this.latent, this.effect,
    other.latent AS other_latent, other.effect AS other_effect
FROM (FROM absorbed WHERE layer = $layer AND width = $width AND l0 = $l0) AS this
FULL JOIN (FROM absorbed WHERE layer = $other_layer AND width = $other_width AND l0 = $other_l0) AS other USING (token)
ORDER BY coalesce(this.effect, other.effect), token
