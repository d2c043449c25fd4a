-- A token's absorption fraction by one of the two rules.
CREATE MACRO fraction_by(metric, main_projection, absorbing_projection, latents_projection, total_projection) AS
    CASE WHEN metric = 'fraction-0.3' THEN absorption_fraction_0_3(main_projection, latents_projection, total_projection)
        ELSE absorption_fraction(main_projection, absorbing_projection, total_projection) END;
