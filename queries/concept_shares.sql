-- One row per concept whose true positives of the probe have stored projections: the mean shares of split latents,
-- absorbing latents and neither (token_shares), over the num_shared tokens that have shares. num_tokens counts all
-- tokens, num_unknown those whose shares are unknown at this tau; the remaining tokens have no positive projection.
-- params: suite VARCHAR, sae VARCHAR, compared_concepts VARCHAR[], tau DOUBLE
-- columns: concept VARCHAR, label VARCHAR, main_share DOUBLE, absorbing_share DOUBLE, other_share DOUBLE, num_tokens BIGINT,
--          num_shared BIGINT, num_unknown BIGINT
SELECT concept, label, avg(main_share) AS main_share, avg(absorbing_share) AS absorbing_share, avg(other_share) AS other_share,
    count(*) AS num_tokens, count(other_share) AS num_shared, count(*) FILTER (NOT is_known) AS num_unknown
FROM shares($tau)
JOIN (SELECT concept, label, position FROM concepts WHERE suite = $suite) AS concepts USING (concept)
WHERE suite = $suite AND sae = $sae AND list_contains($compared_concepts, concept)
GROUP BY concept, label, position
ORDER BY position, concept
