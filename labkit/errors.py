"""The one error a user may see without a traceback."""


class LabkitError(Exception):
    """Something the user can put right; the message is one line: what is wrong, what is allowed."""


def one_line(name: str, message: str) -> str:
    """Return an exception's name and message as a single line (the traceback has the rest)."""
    return " ".join(f"{name}: {message}".split()).rstrip(": ")
