"""Names in Python source: those that a piece of code uses, and the modules that it imports."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator


def free(table: symtable.SymbolTable) -> Iterator[str]:
    """Yield the names that a piece of code uses and does not bind."""
    for symbol in table.get_symbols():
        outermost = table.get_type() == "module" and not symbol.is_assigned()
        if symbol.is_referenced() and (symbol.is_global() or outermost):
            yield symbol.get_name()
    for child in table.get_children():
        yield from free(child)


def imported(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the modules that importing some statements imports; not those for type checkers."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If | ast.Try) and not _for_type_checkers(node):
            yield from imported(node.body)


def _for_type_checkers(node: ast.stmt) -> bool:
    return "TYPE_CHECKING:" in ast.unparse(node).partition("\n")[0]
