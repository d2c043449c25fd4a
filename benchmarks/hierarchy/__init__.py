"""Evaluate the rules of absorption on artificial hierarchies with known absorption."""
