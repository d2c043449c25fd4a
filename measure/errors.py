"""What a reader of the command line is told when a measurement cannot go on."""


class MeasureError(Exception):
    """A suite cannot be measured; each argument is a line that names a cause and how to fix it."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class NoRoomError(MeasureError):
    """The work folder cannot be written to: nothing that follows could be, either."""
