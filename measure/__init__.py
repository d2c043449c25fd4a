"""Measurements of Absorption Explorer: from a model and its SAEs to a suite. Needs the extra `measure`."""

from measure.errors import MeasureError

__all__ = ["MeasureError"]
