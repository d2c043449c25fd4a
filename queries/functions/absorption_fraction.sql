-- SAEBench's absorption fraction (since 0.4.1): the share of a token's total projection on the probe that absorbing
-- latents carry in place of the split latents. SAEBench compares absorbing / total with 0.4, so a negative total never
-- passes.
CREATE MACRO absorption_fraction(main_projection, absorbing_projection, total_projection) AS
    CASE WHEN main_projection + absorbing_projection + total_projection IS NULL THEN NULL
        WHEN total_projection <= 0 OR main_projection >= total_projection
            OR absorbing_projection < 0.4 * total_projection THEN 0
        WHEN main_projection <= 0 THEN 1
        ELSE least(absorbing_projection, total_projection - main_projection)
            / (least(absorbing_projection, total_projection - main_projection) + main_projection) END;
