"""What ``panel serve dashboard.py`` runs for each browser session; ``--args SUITE ...`` opens other suites."""

import sys

import panel as pn

from explorer import session

pn.extension()
session(*sys.argv[1:])
