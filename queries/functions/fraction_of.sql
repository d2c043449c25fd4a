-- Which absorption fraction a version of SAEBench computes: versions 0.3.0 to 0.4.0 have another rule than later ones.
-- Result files state no version; ingest/saebench_results.py derives it.
CREATE MACRO fraction_of(metric_version) AS
    CASE WHEN coalesce(metric_version = 'SAEBench since 2025-01-13' OR regexp_matches(metric_version, '^0\.(3\.|4\.0)'), false)
        THEN 'fraction-0.3' ELSE 'fraction' END;
