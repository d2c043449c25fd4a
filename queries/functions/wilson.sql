-- Wilson score interval, 95 %, of a share `part / whole`; NULL where there is nothing to share or the part is unknown.
-- A part that exceeds the whole, as sampled counts can when they are extrapolated, is taken for all of it.
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
