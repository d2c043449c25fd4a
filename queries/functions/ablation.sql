-- The rule of the paper: every split latent is silent; the effect of the latent whose removal hurts most exceeds any
-- other by at least the effect margin; and its cosine with the probe reaches the threshold. The paper requires effect
-- <= 0, which is equivalent at any positive margin; a latent without effect absorbs nothing.
CREATE MACRO ablation(silent, top_effect, margin, top_cosine, cosine_threshold, effect_margin) AS
    silent AND top_effect < 0 AND margin >= effect_margin AND coalesce(top_cosine >= cosine_threshold, true);
