-- Wilson's 95% score interval of a share `part / whole`; NULL if the whole is 0 or the part unknown. A part that
-- exceeds the whole, which is possible for extrapolated counts, is treated as equal to the whole.
CREATE MACRO wilson(part, whole) AS CASE WHEN whole > 0 AND part IS NOT NULL THEN {
    'low': greatest(0.0,
        (least(part / whole, 1) + 1.9208 / whole
            - 1.96 * sqrt(least(part / whole, 1) * (1 - least(part / whole, 1)) / whole + 0.9604 / (whole * whole)))
        / (1 + 3.8416 / whole)),
    'high': least(1.0,
        (least(part / whole, 1) + 1.9208 / whole
            + 1.96 * sqrt(least(part / whole, 1) * (1 - least(part / whole, 1)) / whole + 0.9604 / (whole * whole)))
        / (1 + 3.8416 / whole))
} END;
