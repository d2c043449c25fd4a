-- At most one row: the output tokens that the latent raises and lowers most.
-- params: suite VARCHAR, sae VARCHAR, latent INTEGER
-- columns: raised_tokens VARCHAR[], raised_logits FLOAT[], lowered_tokens VARCHAR[], lowered_logits FLOAT[]
SELECT raised_tokens, raised_logits, lowered_tokens, lowered_logits
FROM logits
WHERE suite = $suite AND sae = $sae AND latent = $latent
