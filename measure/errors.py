"""What a reader of the command line is told when a measurement cannot go on."""


class MeasureError(Exception):
    """A suite cannot be measured; each line of the message names a cause and how to fix it."""


class NoRoomError(MeasureError):
    """The work folder cannot be written to: nothing that follows could be, either."""
