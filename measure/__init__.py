"""From a language model and its SAEs to a suite: stages with files between them. Needs the extra `measure`."""

from measure.errors import MeasureError

__all__ = ["MeasureError"]
