"""What a reader of the command line is told when a measurement cannot go on."""


class MeasureError(Exception):
    """A suite cannot be measured; the message is one line that names the cause and the mend."""
