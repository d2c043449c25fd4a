-- One row a suite: whether a threshold moves anything in it. tau needs ranked latents, the other two the effects of tested
-- tokens (without those, verdicts stand as published), and the cosine threshold also their cosines. The verdicts of SAEBench's
-- full absorption follow from the total projection, which no table stores.
-- columns: suite VARCHAR, tau BOOLEAN, cosine_threshold BOOLEAN, effect_margin BOOLEAN
SELECT suites.suite,
    EXISTS (FROM ranks WHERE ranks.suite = suites.suite) AS tau,
    metric <> 'full'
        AND EXISTS (FROM scores WHERE scores.suite = suites.suite AND top_effect IS NOT NULL AND top_cosine IS NOT NULL)
        AS cosine_threshold,
    metric <> 'full' AND EXISTS (FROM scores WHERE scores.suite = suites.suite AND top_effect IS NOT NULL)
        AS effect_margin
FROM suites
ORDER BY suite
