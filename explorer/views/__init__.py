"""The views, one per file: each shows results of the model and passes the visitor's actions to the state."""
