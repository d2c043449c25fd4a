-- The rule of the paper: every split latent is silent, and the latent whose removal hurts most does so by more than the
-- effect margin than any other, and points along the probe. The method has effects <= 0, which at any positive margin is the
-- same; a latent without effect absorbs nothing.
CREATE MACRO ablation(silent, top_effect, margin, top_cosine, cosine_threshold, effect_margin) AS
    silent AND top_effect < 0 AND margin >= effect_margin AND coalesce(top_cosine >= cosine_threshold, true);
