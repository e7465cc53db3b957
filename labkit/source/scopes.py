"""What the names in a piece of code refer to: the part of Python's rules that finding definitions takes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

# What an import binds a name to: a dotted path, such as ``labkit.training.fit.fit`` or ``torch.nn``.
Imports = dict[str, str]
# Turns a dotted path into what stands for it in a meaning.
Refer = Callable[[str], ast.expr]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def imported(statement: ast.Import | ast.ImportFrom) -> Imports:
    """Return the names that an import statement binds, each with the dotted path it stands for."""
    if isinstance(statement, ast.ImportFrom):
        module = "." * statement.level + (statement.module or "")
        return {alias.asname or alias.name: f"{module}.{alias.name}" for alias in statement.names}
    return {
        alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
        for alias in statement.names
    }


def bound(nodes: Iterable[ast.AST]) -> dict[str, str | None]:
    """Return the names bound in a scope made of `nodes`, scopes inside it left aside.

    Each has the dotted path that an import gives it, or None where it is something of the scope's own.
    """
    names: dict[str, str | None] = {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= imported(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = None
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names[node.id] = None
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names[node.name] = None
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names[node.rest] = None
        if not isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef)):
            names |= bound(ast.iter_child_nodes(node))
    return names


class References(ast.NodeTransformer):
    """Puts `refer(path)` in the place of each name that comes from an import or from the module around.

    `around` gives the dotted paths of the module's names. Local names stay. Annotations compute nothing:
    those of functions and variables go, those of a class's fields lose their names, and what they name is
    handed to `mention`, because its methods may be called. Imports go, too: what they bind is told where it
    is used.
    """

    def __init__(self, around: Imports, refer: Refer, mention: Callable[[str], None]) -> None:
        self._scopes: list[dict[str, str | None]] = [dict(around)]
        self._refer, self._mention = refer, mention

    def _path(self, node: ast.expr) -> str | None:
        """Return the dotted path that `node`, a name or an attribute of one, stands for, if any."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return next((scope[node.id] for scope in reversed(self._scopes) if node.id in scope), None)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            before = self._path(node.value)
            return f"{before}.{node.attr}" if before else None
        return None

    def _within(self, names: dict[str, str | None], nodes: Sequence[Any]) -> list[Any]:
        self._scopes.append(names)
        visited = [self.visit(node) for node in nodes]
        self._scopes.pop()
        return [node for node in visited if node is not None]

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace a name that stands for a path."""
        path = self._path(node)
        return self._refer(path) if path else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replace an attribute of a name that stands for a path."""
        path = self._path(node)
        return self._refer(path) if path else self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Drop it."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Drop it."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Look through a function: defaults and decorators from outside, the body in a scope of its own."""
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self._annotation(node.returns)
        node.returns = None
        self._arguments(node.args)
        names: dict[str, str | None] = dict.fromkeys(_parameters(node.args))
        # An import that does nothing but bind names may leave a body empty.
        node.body = self._within(names | bound(node.body), node.body) or [ast.Pass()]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """Look through a lambda."""
        self._arguments(node.args)
        [node.body] = self._within(dict.fromkeys(_parameters(node.args)), [node.body])
        return node

    def _arguments(self, arguments: ast.arguments) -> None:
        for argument in _all_arguments(arguments):
            self._annotation(argument.annotation)
            argument.annotation = None
        arguments.defaults = [self.visit(value) for value in arguments.defaults]
        arguments.kw_defaults = [value and self.visit(value) for value in arguments.kw_defaults]

    def _comprehension(self, node: Any) -> ast.AST:
        # The first iterable is evaluated outside.
        node.generators[0].iter = self.visit(node.generators[0].iter)
        self._scopes.append(bound(generator.target for generator in node.generators))
        node = self.generic_visit(node)
        self._scopes.pop()
        return node  # type: ignore[no-any-return]

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Look through a class; methods do not see its names, so it makes no scope."""
        # A dataclass reads the annotations of its fields.
        fields = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
        kept = [field.annotation for field in fields]
        self.generic_visit(node)
        for field, annotation in zip(fields, kept, strict=True):
            field.annotation = _Nameless(self._path).visit(annotation)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Leave the annotation aside."""
        self._annotation(node.annotation)
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def _annotation(self, annotation: ast.expr | None) -> None:
        """Mention the paths that names in `annotation` stand for."""
        if annotation is not None:
            for part in ast.walk(annotation):
                if isinstance(part, ast.expr) and (path := self._path(part)):
                    self._mention(path)


class _Nameless(ast.NodeTransformer):
    """Blanks the names in an annotation that stand for a path: what they are called does not matter."""

    def __init__(self, path: Callable[[ast.expr], str | None]) -> None:
        self._path = path

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(None) if self._path(node) else node


def _all_arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (each for each in (arguments.vararg, arguments.kwarg) if each)


def _parameters(arguments: ast.arguments) -> list[str]:
    return [argument.arg for argument in _all_arguments(arguments)]
