"""Hierarchies with known truth, and what the rules of absorption make of them."""
