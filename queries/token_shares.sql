-- One row per true positive of the probe with stored projections: the share of its projection on the probe that split
-- latents carry at this tau, the share of the absorbing latents of SAEBench's fraction (at most three), and that of
-- neither; largest share of split latents first. Shares add up to 1; each may be negative or above 1. They are NULL,
-- and last, if the projection is not positive or if they are unknown at this tau.
-- params: suite VARCHAR, sae VARCHAR, concept VARCHAR, tau DOUBLE
-- together: concept
-- columns: concept VARCHAR, token VARCHAR, main_share DOUBLE, absorbing_share DOUBLE, other_share DOUBLE
SELECT concept, token, main_share, absorbing_share, other_share
FROM shares($tau)
WHERE suite = $suite AND sae = $sae AND ($concept IS NULL OR concept = $concept)
ORDER BY main_share DESC NULLS LAST, absorbing_share DESC, token
