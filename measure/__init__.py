"""Absorption Explorer measures: from a model and its SAEs to a suite, in stages. Needs the extra `measure`."""

from measure.errors import MeasureError

__all__ = ["MeasureError"]
