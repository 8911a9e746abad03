"""Errors that a person can act on; a command prints one as a single line and ends with code 1."""


class UsageError(Exception):
    """What was found, what is needed, and a hint last; lower case, no period."""
