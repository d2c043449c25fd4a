-- The same up to SAEBench 0.3.2, without thresholds: whatever the split latents do not carry.
CREATE MACRO absorption_fraction_0_3(main_projection, total_projection) AS
    least(1, greatest(0, (total_projection - main_projection) / nullif(total_projection, 0)));
