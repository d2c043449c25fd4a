"""Errors that end a measurement, with messages for the command line."""


class MeasureError(Exception):
    """A suite cannot be measured; each argument is a line that names a cause and how to fix it."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class NoRoomError(MeasureError):
    """The work folder is full or read-only, so all further tasks would fail, too."""
