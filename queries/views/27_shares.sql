-- One row per true positive of the probe: the shares of its projection on the probe at `tau` (soft absorption). The
-- shares are NULL if the projection is not positive, and if they are unknown at this tau (`is_known`).
CREATE MACRO shares(tau) AS TABLE
SELECT suite, sae, concept, token,
    CASE WHEN total_projection > 0 THEN main_projection / total_projection END AS main_share,
    CASE WHEN total_projection > 0 THEN absorbing_projection / total_projection END AS absorbing_share,
    1 - main_share - absorbing_share AS other_share,
    main_projection IS NOT NULL AND absorbing_projection IS NOT NULL AS is_known
FROM carried(tau);
