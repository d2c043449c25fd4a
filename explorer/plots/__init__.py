"""Pure functions from data frames to HoloViews elements, one file per plot, independent of database and page."""

import holoviews as hv
import holoviews.plotting.bokeh  # options can only be set for a backend that is loaded

# Only the backend: in a notebook, hv.extension would load BokehJS a second time, from the network.
hv.Store.set_current_backend("bokeh")
# A plot declares its tools on its first element; by default, each element of an overlay would add its own.
hv.opts.defaults(
    *(options(default_tools=[]) for options in (hv.opts.Curve, hv.opts.Points, hv.opts.Rectangles)),
    *(options(default_tools=[]) for options in (hv.opts.HLine, hv.opts.VLine, hv.opts.HSpan, hv.opts.VSpan)),
)
