"""Finds the modules that a component's module imports, directly or not, by parsing sources.

Nothing is imported or run. The search follows modules that people edit: those of sparsebench and of
plugins, and any file outside the folders of installed packages, such as a helper beside a plugin
file. Installed packages, the standard library and what a component `requires` are not followed,
because their versions are recorded. Imports of a computed name are not found.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from pathlib import Path
from typing import NamedTuple

from sparsebench.registry import Entry, Plugins
from sparsebench.store.provenance import NUMERIC

STOP = frozenset(
    {"sparsebench"}
    | {f"sparsebench.{name}" for name in
       ("errors", "hookspecs", "registry", "discovery", "machine", "cores_and_threads",
        "system_files", "folders", "metrics")}
)  # fmt: skip
"""Modules that only declare, register or report; they are not followed."""

LOADERS = ((SourceFileLoader, [".py"]), (ExtensionFileLoader, EXTENSION_SUFFIXES))

COMPILERS = frozenset(
    {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "jitclass", "generated_jit",
     "intrinsic", "overload", "overload_method", "overload_attribute"}
)  # fmt: skip
"""numba's decorators that compile a function."""

_DEEP = re.compile(rb"\b(?:import_module|__import__|%b)\b" % "|".join(COMPILERS).encode())
"""Expressions are searched only in files that contain one of these words, because searching them
takes three times as long as searching statements alone."""

_CONSTANT = (
    ast.Constant, ast.Tuple, ast.List, ast.JoinedStr, ast.FormattedValue, ast.Name,
    ast.expr_context,
)  # fmt: skip

Modules = dict[str, Path]
"""Dotted name -> file."""


class Import(NamedTuple):
    """`from module import name`, or `import module` without a name; `level` counts the dots."""

    module: str
    name: str = ""
    level: int = 0


@dataclass(frozen=True)
class SourceFile:
    """Facts about a Python file that a fingerprint needs.

    hash          hash of the file's bytes; "" if it cannot be read
    imports       all imports, inside functions too, except those for type checkers only
    compiles      whether it names one of numba's compilers
    decorated_by  imports whose names it uses as decorators
    registers     whether it has hooks and otherwise only imports, constants and plain functions
    """

    hash: str
    imports: tuple[Import, ...] = ()
    compiles: bool = False
    decorated_by: tuple[Import, ...] = ()
    registers: bool = False


class ImportGraph:
    """The modules of an installation as their files are now; each file is read once."""

    def __init__(self, plugins: Plugins) -> None:
        entries = [entry for registry in plugins.registries.values() for entry in registry]
        required = {module for entry in entries for module in entry.requires}
        own = {"sparsebench", *(_top(info.module) for info in plugins.infos if info.module)}
        self._versioned = {_top(module) for module in (*NUMERIC, *required)} - own
        self._own = own | {_top(module) for entry in entries for module in modules_of(entry)}
        self._files = {
            info.module: info.path for info in plugins.infos if info.path in plugins.files
        }
        self._finder = functools.cache(lambda folder: FileFinder(folder, *LOADERS))
        self._find = functools.cache(self._look_up)
        self.imports = functools.cache(self._imports)

    @functools.cached_property
    def core(self) -> Modules:
        """The modules of `sparsebench.core` and `sparsebench.seeds`, which are part of every
        fingerprint."""
        home = Path(__file__).parents[1]
        files = [home / "seeds.py", *sorted((home / "core").rglob("*.py"))]
        return {
            ".".join(("sparsebench", *file.relative_to(home).with_suffix("").parts)).removesuffix(
                ".__init__"
            ): file
            for file in files
        }

    def closure(self, roots: Iterable[str]) -> Modules:
        """The roots and the modules that they import, directly or not, without those of the core
        and of `STOP`.

        The packages around a module are included because importing it runs them, unless they only
        register and nothing is imported from them by name.
        """
        found: Modules = {}
        waiting = [(name, True) for name in roots]
        while waiting:
            name, named = waiting.pop()
            if name in found or name in STOP or name in self.core:
                continue
            file = self.locate(name)
            if file is None or not (named or not read_source(file).registers):
                continue
            found[name] = file
            waiting += [(other, True) for other in self.imports(name)]
            parts = name.split(".")
            waiting += [(".".join(parts[:count]), False) for count in range(1, len(parts))]
        return found

    def reach(self, roots: Iterable[str], within: Modules) -> Modules:
        """The roots, and the modules in `within` that they import by name, directly or not."""
        found: Modules = {}
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name in within and name not in found:
                found[name] = within[name]
                waiting += self.imports(name)
        return found

    def compiling(self, modules: Modules) -> list[str]:
        """The modules with functions that numba compiles: they name one of numba's compilers, or
        use a decorator from a module that does."""
        sources = {name: read_source(file) for name, file in modules.items()}
        decorators = {
            name: set(self._targets(name, source.decorated_by)) for name, source in sources.items()
        }
        found = {name for name, source in sources.items() if source.compiles}
        while more := {name for name in sources if decorators[name] & found} - found:
            found |= more
        return sorted(found)

    def locate(self, name: str) -> Path | None:
        """The file of a module that is followed; None for any other module."""
        if name in self._files:
            return self._files[name]
        spec = self._find(name)
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None

    def _look_up(self, name: str) -> ModuleSpec | None:
        """Find a module as `import` would, without importing its packages."""
        parent, _, last = name.rpartition(".")
        if parent:
            above = self._find(parent)
            folders = (above.submodule_search_locations if above is not None else None) or ()
            found = [spec for each in folders if (spec := self._finder(each).find_spec(last))]
            return next((spec for spec in found if spec.has_location), found[0] if found else None)
        if name in self._versioned:
            return None
        try:
            top = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # a module without a spec, such as __main__
            top = None
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and (top is None or not top.has_location):
            top = importlib.util.spec_from_file_location(name, file)
        if top is None or name in self._own:
            return top
        places = [top.origin] if top.has_location else top.submodule_search_locations
        return None if all(_is_installed(Path(place)) for place in places or () if place) else top

    def _imports(self, name: str) -> tuple[str, ...]:
        """The modules that the module `name` imports by name."""
        file = self.locate(name)
        if file is None:
            return ()
        return tuple(dict.fromkeys(self._targets(name, read_source(file).imports)))

    def _targets(self, name: str, imports: Iterable[Import]) -> Iterator[str]:
        file = self.locate(name)
        is_package = file is not None and file.name == "__init__.py"
        package = name.split(".") if is_package else name.split(".")[:-1]
        for item in imports:
            above = package[: len(package) + 1 - item.level] if item.level else []
            base = ".".join([*above, *filter(None, [item.module])])
            inside = [f"{base}.{item.name}"] if item.name else []
            home = self.locate(base) if item.name == "*" else None
            if home is not None and home.name == "__init__.py":
                inside = [
                    base,
                    *(f"{base}.{each.stem}" for each in sorted(home.parent.glob("*.py"))),
                ]
            yield from [each for each in inside if self.locate(each) is not None] or [base]


def modules_of(entry: Entry) -> list[str]:
    """The modules that define a component and its parameters, with those of their base classes."""
    found = []
    for target in (entry.target, entry.params):
        if isinstance(target, str):
            found.append(target.partition(":")[0])
        elif target is not None:
            found += [cls.__module__ for cls in target.__mro__ if cls is not object]
    return list(dict.fromkeys(found))


def digest_of(modules: Modules) -> list[tuple[str, str]]:
    """The name of each module with a hash of its content, sorted by name. Folders do not matter."""
    return [(name, read_source(file).hash) for name, file in sorted(modules.items())]


def _is_installed(file: Path) -> bool:
    """Whether a file belongs to the standard library or to an installed package."""
    standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts) or any(
        file.is_relative_to(folder) for folder in standard
    )


def _top(module: str) -> str:
    return module.partition(".")[0]


# --- one file --------------------------------------------------------------------------

_READ: dict[Path, tuple[tuple[int, ...], SourceFile]] = {}


def read_source(file: Path) -> SourceFile:
    """The facts about a file as it is now; parsed again only if its size or a time stamp has
    changed.

    The inode's change time is used too, because `cp -p` and `touch` can set back the modification
    time.
    """
    try:
        found = file.stat()
        stamps = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        known = _READ.get(file)
        if known is None or known[0] != stamps:
            known = _READ[file] = stamps, _parsed(file.read_bytes(), file.suffix == ".py")
    except OSError:
        return SourceFile("")
    return known[1]


def _parsed(content: bytes, is_python: bool) -> SourceFile:
    hashed = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        tree = ast.parse(content) if is_python else ast.Module([], [])
    except (SyntaxError, ValueError):  # importing it will say so
        return SourceFile(hashed)
    nodes = list(_nodes(tree, deep=_DEEP.search(content) is not None))
    bound = [pair for node in nodes for pair in _imports_of(node)]
    decorators = {_root(each) for node in nodes for each in getattr(node, "decorator_list", ())}
    return SourceFile(
        hash=hashed,
        imports=tuple(dict.fromkeys(item for _, item in bound)),
        compiles=any(
            (isinstance(node, ast.alias) and node.name in COMPILERS)
            or (isinstance(node, ast.Attribute) and node.attr in COMPILERS)
            for node in nodes
        ),
        decorated_by=tuple(dict.fromkeys(item for name, item in bound if name in decorators)),
        registers=_only_registers(tree),
    )


def _nodes(tree: ast.AST, deep: bool) -> Iterator[ast.AST]:
    """The statements of a tree, or all its nodes if `deep`, without the bodies of `if
    TYPE_CHECKING:`."""
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


def _imports_of(node: ast.AST) -> Iterator[tuple[str, Import]]:
    """Each name that an import statement binds, with the import; `import_module("name")` binds
    none."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or _top(alias.name), Import(alias.name)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            bound = alias.asname or alias.name
            yield bound, Import(node.module or "", alias.name, node.level)
    elif isinstance(node, ast.Call) and _tail(node.func) in ("import_module", "__import__"):
        given = node.args[0] if node.args else None
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            module = given.value.lstrip(".")
            yield "", Import(module, level=len(given.value) - len(module))


def _tail(node: ast.expr) -> str:
    """The last name of an expression: "b" for `a.b` and for `b`; empty for any other expression."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _root(node: ast.expr) -> str:
    """The first name of an expression: "a" for `a`, `a.b` and `a.b(...)`; empty for any other."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return getattr(node, "id", "")


def _only_registers(tree: ast.Module) -> bool:
    has_hooks = False
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            calls = [
                each.func if isinstance(each, ast.Call) else each for each in node.decorator_list
            ]
            is_hook = any(_tail(each) == "hookimpl" for each in calls)
            plain, has_hooks = is_hook or not calls, has_hooks or is_hook
        elif isinstance(node, ast.If):
            plain = _tail(node.test) == "TYPE_CHECKING"
        elif isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign) and node.value is not None:
            plain = all(isinstance(each, _CONSTANT) for each in ast.walk(node.value))
        else:
            plain = isinstance(node, ast.Import | ast.ImportFrom)
        if not plain:
            return False
    return has_hooks
