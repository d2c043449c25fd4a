-- Wilson score interval, 95 %, of a share `part / whole`; NULL where there is nothing to share.
CREATE MACRO wilson(part, whole) AS CASE WHEN whole > 0 THEN {
    'low': greatest(0.0,
        (part / whole + 1.9208 / whole
            - 1.96 * sqrt(part / whole * (1 - part / whole) / whole + 0.9604 / (whole * whole)))
        / (1 + 3.8416 / whole)),
    'high': least(1.0,
        (part / whole + 1.9208 / whole
            + 1.96 * sqrt(part / whole * (1 - part / whole) / whole + 0.9604 / (whole * whole)))
        / (1 + 3.8416 / whole))
} END;
