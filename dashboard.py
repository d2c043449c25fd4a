"""The application for ``panel serve dashboard.py``, run once per session; ``--args SUITE ...`` opens other suites."""

import sys

import panel as pn

from explorer import session

pn.extension()
session(*sys.argv[1:])
