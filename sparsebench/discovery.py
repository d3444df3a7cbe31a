"""Finds plugins (installed ones by their entry points, and files) and calls their hooks."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from sparsebench import hookspecs
from sparsebench.errors import PluginError, nearest, printable
from sparsebench.folders import data_directory
from sparsebench.registry import HOOKS, Command, Entry, PluginInfo, Plugins, Registry, ReportSection


def load_plugins(files: Sequence[Path] = (), data_dir: Path | None = None) -> Plugins:
    """Load all installed plugins (entry points of the group `sparsebench`), then `files`.

    An installed plugin that fails to import is listed with its error and affects nothing else. A
    file was requested by name, so its failure is a PluginError, as are names registered twice and
    misspelt hooks.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(files=tuple(Path(f).resolve() for f in files))
    found: list[tuple[ModuleType, PluginInfo]] = []
    for point in importlib.metadata.entry_points(group=hookspecs.PROJECT):
        version = point.dist.version if point.dist is not None else ""
        origin = point.dist.name if point.dist is not None else point.value
        info = PluginInfo(printable(point.name), printable(origin), printable(version))
        try:
            module = point.load()
            found.append((module, dataclasses.replace(info, path=plugin_home(module))))
        except (Exception, SystemExit) as error:
            reason = printable(f"{type(error).__name__}: {error}")
            plugins.infos.append(dataclasses.replace(info, error=reason))
    found += [
        (_import_file(file), PluginInfo(file.stem, str(file), path=file)) for file in plugins.files
    ]
    for module, info in found:
        try:
            manager.register(module, name=info.name)
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginError(f"plugin {info.name!r} from {info.origin}: {error}") from None
    known = [name for name in vars(hookspecs) if name.startswith("register_")]
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = str(error).split("'")[1] if "'" in str(error) else str(error)
        raise PluginError(f"unknown hook {name!r}.{nearest(name, known)}; {error}") from None
    chosen = data_dir if data_dir is not None else data_directory()
    for module, info in found:
        is_file = info.path in plugins.files
        if is_file and not manager.get_hookcallers(module):
            hooks = [name for name in known if hasattr(module, name)]
            raise PluginError(
                f"plugin file {info.origin}: no hook was found in it; put @hookimpl above "
                f"{', '.join(hooks) or 'a function such as register_topologies'}"
            )
        errors = "; ".join(_call_hooks(manager, module, plugins, info.owner, chosen))
        if errors and is_file:
            raise PluginError(f"plugin file {info.origin}: {errors}")
        info = dataclasses.replace(info, module=module.__name__, error=errors or None)
        plugins.infos.append(info)
    return plugins


def _call_hooks(
    manager: pluggy.PluginManager, module: ModuleType, plugins: Plugins, owner: str, data_dir: Path
) -> list[str]:
    """Call the hooks of one plugin, so that everything it registers gets `owner` as its owner.
    Raises PluginError if a registration is invalid. If a hook raises anything else, the others are
    still called. Returns a line for each such error."""
    hooks: dict[str, Callable[..., Any]] = {
        hook: partial(_register, plugins.registries[kind], owner) for kind, hook in HOOKS.items()
    } | {
        "register_suites": plugins.suite_folders.append,
        "register_metrics": partial(plugins.metrics.add, owner=owner),
        "register_report_sections": partial(_add_section, plugins, owner),
        "register_commands": partial(_add_command, plugins, owner),
    }
    errors = []
    for hook, add in hooks.items():
        for one in getattr(manager.hook, hook).get_hookimpls():
            if one.plugin is module:
                try:
                    one.function(*(data_dir if n == "data_dir" else add for n in one.argnames))
                except PluginError:
                    raise
                except Exception as error:
                    errors.append(printable(f"{hook}: {type(error).__name__}: {error}"))
    return errors


def _register(
    registry: Registry,
    owner: str,
    name: str,
    target: type | str,
    *,
    params: type | str | None = None,
    requires: tuple[str, ...] = (),
    summary: str = "",
    get: str = "",
) -> None:
    what = f"{registry.kind} {name!r} of {owner}"
    if not isinstance(name, str) or isinstance(requires, str):
        raise PluginError(
            f"{what}: register() takes a name and a tuple of modules it requires, found "
            f"requires={requires!r}"
        )
    if not name or name != printable(name):
        raise PluginError(f"{what}: a name is one line of printable characters; rename it")
    if not summary and isinstance(target, type) and target.__doc__:
        summary = inspect.cleandoc(target.__doc__).splitlines()[0]
    texts = (printable(summary), printable(get))
    registry.add(Entry(registry.kind, name, target, owner, params, tuple(requires), *texts))


def _add_section(
    plugins: Plugins,
    owner: str,
    title: str,
    target: Callable[..., Any] | str,
    *,
    place: str = "after",
) -> None:
    if place not in ("before", "after"):
        raise PluginError(
            f"report section {title!r} of {owner}: place is 'before' or 'after', found {place!r}"
        )
    plugins.report_sections.append(ReportSection(printable(title), target, place, owner))


def _add_command(plugins: Plugins, owner: str, name: str, target: Callable[..., Any] | str) -> None:
    command = Command(name, target, owner)
    first = plugins.commands.setdefault(name, command)
    if first is not command:
        raise PluginError(f"command {name!r} is registered twice: by {first.owner} and by {owner}")


def plugin_home(module: ModuleType) -> Path | None:
    """The folder or file that a fingerprint of the plugin covers: its outermost package, or its
    file.

    None if the module has no file. A namespace package has no file and may hold other packages, so
    it is skipped.
    """
    parts = module.__name__.split(".")
    for count in range(1, len(parts) + 1):
        file = getattr(sys.modules.get(".".join(parts[:count])), "__file__", None)
        if file is not None and Path(file).name == "__init__.py":
            return Path(file).parent
    return Path(module.__file__) if module.__file__ is not None else None


def _import_file(file: Path) -> ModuleType:
    """Import a plugin file once, as the module `sparsebench_plugin_NAME`. Raises PluginError.

    The file may import modules in its folder; an installed module of the same name comes first.
    """
    name = f"sparsebench_plugin_{file.stem.replace('-', '_')}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(file):
        return loaded
    if not file.is_file():
        raise PluginError(f"plugin file {file} does not exist")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin file {file} is not a Python file")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(
            f"plugin file {file} does not import: {type(error).__name__}: {error}"
        ) from error
    return module
