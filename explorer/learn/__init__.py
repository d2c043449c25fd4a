"""The computations of the page Learn: a toy SAE in closed form and trained, and the steps of a token's verdict."""
