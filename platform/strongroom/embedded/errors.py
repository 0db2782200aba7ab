"""The one error of this package."""


class EmbeddedError(Exception):
    """Something expected went wrong; the message says what, and what to do about it."""
