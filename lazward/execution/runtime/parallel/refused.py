"""The one error that ends a job at once: what it asks for cannot be done, however often it is tried."""


class Refused(Exception):
    """The text says why, and what to do."""
