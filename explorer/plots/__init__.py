"""Pure functions from frames to HoloViews elements; one file a plot. They know no database and no page."""

import holoviews as hv
import holoviews.plotting.bokeh  # options can only be set for a backend that is loaded

# The backend alone: in a notebook, hv.extension would load BokehJS once more, and from a network.
hv.Store.set_current_backend("bokeh")
# A plot names its tools once, on its first element; by default each element of an overlay would add its own.
hv.opts.defaults(
    *(options(default_tools=[]) for options in (hv.opts.Curve, hv.opts.Points, hv.opts.Rectangles)),
    *(options(default_tools=[]) for options in (hv.opts.HLine, hv.opts.VLine, hv.opts.HSpan, hv.opts.VSpan)),
)
