"""One Python file, read without running it: its hash, its imports, whether it has kernels."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPILERS = frozenset(
    {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "jitclass", "generated_jit",
     "intrinsic", "overload", "overload_method", "overload_attribute"}
)  # fmt: skip
"""What numba calls the ways to make compiled code of a Python function."""

_DEEP = re.compile(rb"\b(?:import_module|__import__|%b)\b" % "|".join(COMPILERS).encode())
"""Where these words stand, expressions are looked at too: three times the work."""


@dataclass(frozen=True)
class Import:
    """`from module import names`, or `import module` without names; `level` counts the dots."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


@dataclass(frozen=True)
class SourceFile:
    """What a fingerprint needs to know of a file.

    hash          of its bytes; "" if it cannot be read
    imports       wherever they stand, in functions too, but not those for type checkers only
    compiles      it names one of numba's compilers
    decorated_by  the imports whose names it uses as decorators
    registers     it has hooks, and beside them nothing but imports, constants and plain functions
    """

    hash: str
    imports: tuple[Import, ...] = ()
    compiles: bool = False
    decorated_by: tuple[Import, ...] = ()
    registers: bool = False


_READ: dict[Path, tuple[tuple[int, ...], SourceFile]] = {}


def read_source(file: Path) -> SourceFile:
    """The file as it is now; parsed anew only if its size or a time stamp changed.

    The time of the last change of the inode is among the stamps: it cannot be set back, as
    `cp -p` or `touch` do with the time of modification.
    """
    try:
        found = file.stat()
        mark = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        known = _READ.get(file)
        if known is None or known[0] != mark:
            known = _READ[file] = mark, _parsed(file.read_bytes(), file.suffix == ".py")
    except OSError:
        return SourceFile("")
    return known[1]


def _parsed(content: bytes, is_python: bool) -> SourceFile:
    hashed = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        tree = ast.parse(content) if is_python else ast.Module([], [])
    except (SyntaxError, ValueError):  # whoever imports it is told
        return SourceFile(hashed)
    nodes = list(_nodes(tree, deep=_DEEP.search(content) is not None))
    bound = [pair for node in nodes for pair in _imports(node)]
    decorators = {_root(each) for node in nodes for each in getattr(node, "decorator_list", ())}
    return SourceFile(
        hash=hashed,
        imports=tuple(dict.fromkeys(item for _, item in bound)),
        compiles=any(_names_compiler(node) for node in nodes),
        decorated_by=tuple(dict.fromkeys(item for name, item in bound if name in decorators)),
        registers=_only_registers(tree),
    )


def _nodes(tree: ast.AST, deep: bool) -> Iterator[ast.AST]:
    """The statements, or all nodes, without the bodies of `if TYPE_CHECKING:`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _tail(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif deep:
            waiting += ast.iter_child_nodes(node)
        else:
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                waiting += getattr(node, block, ())


def _names_compiler(node: ast.AST) -> bool:
    """An import of one of numba's compilers, or its use as `numba.njit`."""
    return (isinstance(node, ast.alias) and node.name in COMPILERS) or (
        isinstance(node, ast.Attribute) and node.attr in COMPILERS
    )


def _imports(node: ast.AST) -> Iterator[tuple[str, Import]]:
    """The name that an import binds, and the import; of `import_module("name")` binds none."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], Import(alias.name)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield (
                alias.asname or alias.name,
                Import(node.module or "", (alias.name,), node.level),
            )
    elif isinstance(node, ast.Call) and _tail(node.func) in ("import_module", "__import__"):
        given = node.args[0] if node.args else None
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            module = given.value.lstrip(".")
            yield "", Import(module, level=len(given.value) - len(module))


def _tail(node: ast.expr) -> str:
    """`b` of `a.b`, and of `b`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _root(node: ast.expr) -> str:
    """`a` of `a`, `a.b`, and `a.b(...)`."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return getattr(node, "id", "")


def _only_registers(tree: ast.Module) -> bool:
    hooks = [node for node in tree.body if _is_hook(node)]
    rest = [node for node in tree.body if not _is_hook(node)]
    return bool(hooks) and all(_is_plain(node) for node in rest)


def _is_hook(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        _tail(each.func if isinstance(each, ast.Call) else each) == "hookimpl"
        for each in node.decorator_list
    )


def _is_plain(node: ast.stmt) -> bool:
    """An import, a docstring, a constant, a function without decorators."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.FunctionDef):
        return not node.decorator_list
    if isinstance(node, ast.If):
        return _tail(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign) and node.value is not None:
        allowed = (ast.Constant, ast.Tuple, ast.List, ast.JoinedStr, ast.FormattedValue, ast.Name)
        return all(isinstance(each, (*allowed, ast.expr_context)) for each in ast.walk(node.value))
    return False
