"""One file a view: a pane bound to the model, and its way back to the state."""
