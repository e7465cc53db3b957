"""What a piece of code does, as a text that comments, docstrings and formatting do not change."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable

from labkit.profile import PROFILES, Profile

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def meaning(node: object) -> str:
    """Return what a syntax tree, or a list of trees, does: the same text in all versions of Python."""
    if isinstance(node, list):
        return f"[{','.join(map(meaning, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    # Fields that are empty may be new in some version: leave them out.
    told = (f"{name}={meaning(value)}" for name, value in fields.items() if value not in (None, []))
    return f"{type(node).__name__}({','.join(told)})"


class Picked(ast.NodeTransformer):
    """Puts the value for one profile in the place of each choice ``.pick(smoke=a, laptop=b, full=c)``."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def visit_Call(self, node: ast.Call) -> ast.AST:  # the name that ast asks for
        """Replace the call where it is a choice between all profiles."""
        self.generic_visit(node)
        values = {keyword.arg: keyword.value for keyword in node.keywords}
        picks = isinstance(node.func, ast.Attribute) and node.func.attr == "pick"
        return values[self.profile] if picks and values.keys() == set(PROFILES) else node


def digest(texts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits of the sha256 over `texts`, in order."""
    hashed = hashlib.sha256()
    for text in texts:
        hashed.update(f"{len(text)}\n".encode())
        hashed.update(text.encode())
    return hashed.hexdigest()[:16]
