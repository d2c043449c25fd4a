"""The command's way to `queries.upgrade`."""

from queries.upgrade import upgrade_suite

__all__ = ["upgrade_suite"]
