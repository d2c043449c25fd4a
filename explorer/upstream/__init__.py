"""Uses of Panel, Bokeh and Tornado beyond their public API: a table with reasons, and access to them."""
