-- The split latents at threshold `tau`: latents are accepted in rank order while each step raises F1 by more than tau,
-- up to the first that does not or whose F1 is unknown (k up to 15). At the suite's own tau, or if the suite has no
-- ranked latents, its stored list is used.
CREATE MACRO split_at(tau, tau_published, published, latents, rises) AS
    CASE WHEN tau = tau_published AND published IS NOT NULL THEN published
        ELSE coalesce(nullif(latents[1:len(list_filter(rises, lambda rise: rise > tau))], []), published) END;
