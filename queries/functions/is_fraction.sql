-- Whether a metric is one of SAEBench's absorption fractions: a value from 0 to 1 per token, and no verdict.
CREATE MACRO is_fraction(metric) AS coalesce(metric IN ('fraction', 'fraction-0.3'), false);
