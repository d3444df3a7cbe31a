"""Finding plugins: installed ones by their entry points, then files; calling their hooks."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from sparsebench import hookspecs
from sparsebench.errors import PluginError, nearest, printable
from sparsebench.machine import data_directory
from sparsebench.registry import (
    HOOKS,
    Command,
    Entry,
    PluginInfo,
    Plugins,
    Registry,
    ReportSection,
)


def load_plugins(files: Sequence[Path] = (), data_dir: Path | None = None) -> Plugins:
    """All installed plugins (entry points of the group `sparsebench`), then `files`.

    An installed plugin that fails to import is listed with its error and hurts nobody. A file
    was asked for by name, so its failure is a PluginError, as are names taken twice and
    misspelt hooks.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(files=tuple(Path(f).resolve() for f in files))
    for point in importlib.metadata.entry_points(group=hookspecs.PROJECT):
        info = _told(point)
        try:
            module = point.load()
        except (Exception, SystemExit) as error:
            reason = printable(f"{type(error).__name__}: {error}")
            plugins.infos.append(dataclasses.replace(info, error=reason))
            continue
        _enlist(manager, plugins, module, dataclasses.replace(info, path=plugin_home(module)))
    for file in plugins.files:
        module = _import_file(file)
        _enlist(manager, plugins, module, PluginInfo(file.stem, str(file), path=file))
    known = [name for name in vars(hookspecs) if name.startswith("register_")]
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = str(error).split("'")[1] if "'" in str(error) else str(error)
        raise PluginError(f"unknown hook {name!r}.{nearest(name, known)}; {error}") from None
    for info in plugins.infos:
        module = manager.get_plugin(info.name)
        if info.path in plugins.files and not manager.get_hookcallers(module):
            hooks = [name for name in known if hasattr(module, name)]
            raise PluginError(
                f"plugin file {info.origin}: no hook was found in it; put @hookimpl above "
                f"{', '.join(hooks) or 'a function such as register_topologies'}"
            )
    _collect(manager, plugins, data_dir if data_dir is not None else data_directory())
    return plugins


def _told(point: importlib.metadata.EntryPoint) -> PluginInfo:
    """What a distribution says of itself. Anyone may have written it, so nothing in it reaches a
    terminal raw."""
    version = point.dist.version if point.dist is not None else ""
    origin = point.dist.name if point.dist is not None else point.value
    return PluginInfo(printable(point.name), printable(origin), printable(version))


def _enlist(
    manager: pluggy.PluginManager, plugins: Plugins, module: ModuleType, info: PluginInfo
) -> None:
    try:
        manager.register(module, name=info.name)
    except (ValueError, pluggy.PluginValidationError) as error:
        raise PluginError(f"plugin {info.name!r} from {info.origin}: {error}") from None
    plugins.infos.append(dataclasses.replace(info, module=module.__name__))


def _collect(manager: pluggy.PluginManager, plugins: Plugins, data_dir: Path) -> None:
    """Call each hook of each plugin on its own, so that each name knows its owner.

    A hook that raises leaves the plugin's other hooks alone; the plugin is listed with its error.
    """
    for number, info in enumerate(plugins.infos):
        if info.error is not None:
            continue
        module = manager.get_plugin(info.name)
        owner = f"{info.name} ({info.origin})"
        hooks: list[tuple[str, dict[str, Any]]] = [
            (
                hook,
                {"register": functools.partial(_register, plugins.registries[kind], kind, owner)},
            )
            for kind, hook in HOOKS.items()
        ]
        hooks.append(("register_suites", {"add_folder": plugins.suite_folders.append}))
        add = functools.partial(plugins.metrics.add, owner=owner)
        hooks.append(("register_metrics", {"add": add}))
        section = functools.partial(_add_section, plugins, owner)
        hooks.append(("register_report_sections", {"add": section}))
        command = functools.partial(_add_command, plugins, owner)
        hooks.append(("register_commands", {"add": command}))
        errors = []
        for hook, given in hooks:
            try:
                _call(manager, module, hook, {**given, "data_dir": data_dir})
            except PluginError:
                raise
            except Exception as error:
                errors.append(printable(f"{hook}: {type(error).__name__}: {error}"))
        if errors and info.path in plugins.files:
            raise PluginError(f"plugin file {info.origin}: {'; '.join(errors)}")
        if errors:
            plugins.infos[number] = dataclasses.replace(info, error="; ".join(errors))


def _call(
    manager: pluggy.PluginManager, module: object, hook: str, given: Mapping[str, Any]
) -> None:
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin is module:
            implementation.function(**{name: given[name] for name in implementation.argnames})


def _register(
    registry: Registry,
    kind: str,
    owner: str,
    name: str,
    target: type | str,
    *,
    params: type | str | None = None,
    requires: tuple[str, ...] = (),
    summary: str = "",
    get: str = "",
) -> None:
    if not isinstance(name, str) or isinstance(requires, str):
        raise PluginError(
            f"{kind} {name!r} of {owner}: register() takes a name and a tuple of modules it "
            f"requires, found requires={requires!r}"
        )
    if not name or name != printable(name):
        raise PluginError(
            f"{kind} {name!r} of {owner}: a name is one line of printable characters; rename it"
        )
    if not summary and isinstance(target, type) and target.__doc__:
        summary = inspect.cleandoc(target.__doc__).splitlines()[0]
    told = (printable(summary), printable(get))
    registry.add(Entry(kind, name, target, owner, params, tuple(requires), *told))


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
    taken = plugins.commands.get(name)
    if taken is not None:
        raise PluginError(f"command {name!r} is registered twice: by {taken.owner} and by {owner}")
    plugins.commands[name] = Command(name, target, owner)


def plugin_home(module: ModuleType) -> Path | None:
    """What of a plugin its fingerprint covers: the folder of its outermost package, or its file.

    A namespace package has no file; it may hold other people's packages, and is passed over.
    """
    parts = module.__name__.split(".")
    for count in range(1, len(parts) + 1):
        file = getattr(sys.modules.get(".".join(parts[:count])), "__file__", None)
        if file is not None and Path(file).name == "__init__.py":
            return Path(file).parent
    return Path(module.__file__) if module.__file__ is not None else None


def _import_file(file: Path) -> ModuleType:
    """Import a plugin by its path, once, under a name of its own.

    It may import what lies beside it; what is installed under the same name comes first.
    """
    name = f"sparsebench_plugin_{file.stem.replace('-', '_')}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(file):
        return loaded
    if not file.is_file():
        raise PluginError(f"plugin file {file} does not exist")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin file {file} is no Python file")
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
