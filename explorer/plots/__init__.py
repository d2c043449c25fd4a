"""Pure functions from frames to HoloViews elements; one file a plot. They know no database and no page."""
