"""Which modules a component's module imports, directly or not, found without importing any.

Followed are the modules whose sources people edit: those of sparsebench and of plugins, wherever
they are installed, and whatever else lies outside the folders of installed packages, such as a
helper beside a plugin file. Installed packages and the standard library are not followed, nor
what a component `requires`: their versions are recorded. A name that a module computes before it
imports it is not seen.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from sparsebench.registry import Entry, Plugins
from sparsebench.run.source_file import Import, read_source
from sparsebench.store.provenance import NUMERIC

CORE = "sparsebench.core"

STOP = frozenset(
    {"sparsebench"}
    | {f"sparsebench.{name}" for name in
       ("errors", "hookspecs", "registry", "discovery", "machine", "metrics")}
)  # fmt: skip
"""What tells people of trials, finds plugins and declares, and computes nothing."""

ALWAYS = "sparsebench.seeds"
"""Part of every fingerprint, as the core is."""

Modules = dict[str, Path]
"""Dotted name -> file."""


class ImportGraph:
    """The modules of an installation as their files are now; each file is looked at once."""

    def __init__(self, plugins: Plugins) -> None:
        entries = [entry for registry in plugins.registries.values() for entry in registry]
        required = {module for entry in entries for module in entry.requires}
        plugin_tops = {_top(info.module) for info in plugins.infos if info.module}
        self._own = {"sparsebench", *plugin_tops}
        self._versioned = {_top(module) for module in (*NUMERIC, *required)} - self._own
        self._own |= {_top(module) for entry in entries for module in modules_of(entry)}
        self._files = {
            info.module: info.path for info in plugins.infos if info.path in plugins.files
        }
        self.locate = functools.cache(self._locate)
        self._places = functools.cache(self._find)
        self._names_in = functools.cache(_names_in)
        self.imports = functools.cache(self._imports)

    @functools.cached_property
    def core(self) -> Modules:
        """The core and `seeds`, whatever imports them."""
        home = Path(__file__).parents[1]
        found = {
            ".".join(("sparsebench", *file.relative_to(home).with_suffix("").parts)): file
            for file in [home / "seeds.py", *sorted((home / "core").rglob("*.py"))]
        }
        return {name.removesuffix(".__init__"): file for name, file in found.items()}

    def closure(self, roots: Iterable[str]) -> Modules:
        """The roots and what they import, up to the core and `STOP`.

        The packages around a module count too, as importing it runs them, unless they do
        nothing but register and nothing is imported from them by name.
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
            waiting += [(parent, False) for parent in _parents(name)]
        return found

    def reach(self, roots: Iterable[str], within: Modules) -> Modules:
        """The roots and what they import by name, directly or not, of the modules `within`."""
        found: Modules = {}
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name in within and name not in found:
                found[name] = within[name]
                waiting += self.imports(name)
        return found

    def compiling(self, modules: Modules) -> list[str]:
        """Those that have functions which numba compiles.

        They name one of numba's compilers, or decorate with something imported from one that does.
        """
        sources = {name: read_source(file) for name, file in modules.items()}
        found = {name for name, source in sources.items() if source.compiles}
        while True:
            more = {
                name
                for name, source in sources.items()
                if name not in found and source.decorated_by
                and not found.isdisjoint(self._targets(name, source.decorated_by))
            }  # fmt: skip
            if not more:
                return sorted(found)
            found |= more

    def _imports(self, name: str) -> tuple[str, ...]:
        """The modules that are imported by name from the module `name`."""
        file = self.locate(name)
        if file is None:
            return ()
        return tuple(dict.fromkeys(self._targets(name, read_source(file).imports)))

    def _targets(self, name: str, imports: Iterable[Import]) -> Iterator[str]:
        file = self.locate(name)
        package = name.split(".") if file is not None and _is_package(file) else _parent(name)
        for item in imports:
            above = package[: len(package) + 1 - item.level] if item.level else []
            base = ".".join([*above, *filter(None, [item.module])])
            inside = [f"{base}.{each}" for each in item.names]
            if item.names == ("*",):
                inside = [base, *self._submodules(base)]
            named = [each for each in inside if self.locate(each) is not None]
            yield from named or [base]

    def _submodules(self, package: str) -> list[str]:
        file = self.locate(package)
        if file is None or not _is_package(file):
            return []
        return [f"{package}.{each.stem}" for each in sorted(file.parent.glob("*.py"))]

    def _locate(self, name: str) -> Path | None:
        """The file of a module that is followed; None for others, and for what is no module."""
        if name in self._files:
            return self._files[name]
        top, *rest = name.split(".")
        places = self._places(top)
        for part in rest:
            folders = [p.parent if _is_package(p) else p for p in places if not _is_leaf(p)]
            places = [found for folder in folders if (found := self._candidate(folder, part))]
        return next((place for place in places if place.suffix), None)

    def _candidate(self, folder: Path, name: str) -> Path | None:
        """What `import` finds in a folder: a package, a module, a folder without `__init__.py`."""
        names = self._names_in(folder)
        if name in names and "__init__.py" in self._names_in(folder / name):
            return folder / name / "__init__.py"
        ends = (".py", *EXTENSION_SUFFIXES)
        found = next((end for end in ends if name + end in names), None)
        if found is not None:
            return folder / f"{name}{found}"
        return folder / name if name in names else None

    def _find(self, top: str) -> list[Path]:
        """The file, or for a package without one the folders, of a module on the path."""
        if top in self._versioned:
            return []
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):  # a module without a spec, such as __main__
            spec = None
        loaded = getattr(sys.modules.get(top), "__file__", None)
        origin = spec.origin if spec is not None and spec.has_location else loaded
        places = [Path(origin)] if origin else []
        if not places and spec is not None:
            places = [Path(place) for place in spec.submodule_search_locations or ()]
        return [place for place in places if top in self._own or not _is_installed(place)]


def modules_of(entry: Entry) -> list[str]:
    """The modules of a component and of its parameters; for classes those of their bases too."""
    found = []
    for target in (entry.target, entry.params):
        if isinstance(target, str):
            found.append(target.partition(":")[0])
        elif target is not None:
            found += [cls.__module__ for cls in target.__mro__ if cls is not object]
    return list(dict.fromkeys(found))


def digest_of(modules: Modules) -> list[tuple[str, str]]:
    """Name and hash of each: what a fingerprint takes of them. Not where they are."""
    return [(name, read_source(file).hash) for name, file in sorted(modules.items())]


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _is_leaf(place: Path) -> bool:
    """A module that can hold no others."""
    return place.suffix != "" and not _is_package(place)


def _is_package(file: Path) -> bool:
    return file.name == "__init__.py"


def _is_installed(file: Path) -> bool:
    """Whether a file is the standard library's or an installed package's."""
    standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts) or any(
        file.is_relative_to(folder) for folder in standard
    )


def _top(module: str) -> str:
    return module.partition(".")[0]


def _parent(module: str) -> list[str]:
    return module.split(".")[:-1]


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
