"""Pure functions from frames to HoloViews elements; one file a plot. They know no database and no page."""

import holoviews as hv

# Once a process: options can only be set for a backend that is loaded.
hv.extension("bokeh", logo=False)
