"""Pages arrange views and hold no logic."""
