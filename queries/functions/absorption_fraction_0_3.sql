-- SAEBench's absorption fraction from 0.3.0 to 0.4.0, without thresholds: the share of all latents' projection that is
-- not on split latents.
CREATE MACRO absorption_fraction_0_3(main_projection, latents_projection, total_projection) AS
    CASE WHEN main_projection + latents_projection + total_projection IS NULL THEN NULL
        WHEN main_projection >= total_projection OR latents_projection <= 0 THEN 0
        ELSE least(1, greatest(0, (latents_projection - main_projection) / latents_projection)) END;
