-- Why a token is absorbed or not by a metric: the first condition that fails, in the order of the method; 'absorbed' if
-- none fails, 'published' if the row has no scores and its published verdict is used, 'fraction' if the metric gives no
-- verdict.
CREATE MACRO reason(metric, is_decided, absorbed, silent, top_effect, margin, top_cosine, cosine_threshold, effect_margin) AS
    CASE WHEN is_fraction(metric) THEN 'fraction'
        WHEN NOT is_decided THEN 'published'
        WHEN absorbed THEN 'absorbed'
        WHEN NOT silent THEN 'split latent fires'
        WHEN metric = 'full' AND coalesce(top_cosine >= cosine_threshold, true) THEN 'projection'
        WHEN metric = 'full' THEN 'cosine'
        WHEN NOT top_effect < 0 THEN 'no effect'
        WHEN NOT margin >= effect_margin THEN 'effect margin'
        ELSE 'cosine' END;
