"""The one error a user may see without a traceback."""


class LabkitError(Exception):
    """Something the user can put right; the message is one line: what is wrong, what is allowed."""
