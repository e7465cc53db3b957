"""The one error a user may see without a traceback."""

LONGEST_LINE = 500  # characters


class LabkitError(Exception):
    """Something the user can put right; the message is one line: what is wrong, what is allowed."""


def one_line(name: str, message: str) -> str:
    """Return an exception's name and message as a single line of some length (the traceback has the rest)."""
    line = " ".join(f"{name}: {message}".split()).rstrip(": ")
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
