"""What is relied on of libraries beyond what they promise: each part with its reason, and the ways to it."""
