"""A suite by name or path, together with every plugin that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparsebench.discovery import load_plugins
from sparsebench.errors import SuiteError
from sparsebench.registry import Plugins
from sparsebench.suite.read import find_suite, read_suite
from sparsebench.suite.suite import Suite


def load_suite(
    name_or_path: str | Path,
    *,
    plugin_files: Sequence[Path] = (),
    allow_plugins: bool = False,
    data_dir: Path | None = None,
) -> tuple[Suite, Plugins]:
    """The suite, and the plugins that are installed, given, or named by the suite.

    A suite's plugins are code. Where the suite lies outside the current directory they are
    loaded only if `allow_plugins`.
    """
    plugins = load_plugins(plugin_files, data_dir)
    suite = read_suite(find_suite(name_or_path, plugins.suite_folders))
    if not suite.plugins:
        return suite, plugins
    if not allow_plugins and not suite.path.resolve().is_relative_to(Path.cwd()):
        raise SuiteError(
            f"{suite.place}: plugins: runs code of {', '.join(map(str, suite.plugins))} and lies "
            "outside the current directory; allow it with --allow-plugins"
        )
    files = dict.fromkeys([*(file.resolve() for file in plugin_files), *suite.plugins])
    return suite, load_plugins(list(files), data_dir)
