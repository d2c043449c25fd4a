-- Which absorption fraction a version of SAEBench gives: versions 0.3.0 to 0.4.0 had another rule than those since. Result
-- files name no version; the first is what is said of theirs (ingest/saebench_results.py).
CREATE MACRO fraction_of(metric_version) AS
    CASE WHEN coalesce(metric_version = 'SAEBench since 2025-01-13' OR regexp_matches(metric_version, '^0\.(3\.|4\.0)'), false)
        THEN 'fraction-0.3' ELSE 'fraction' END;
