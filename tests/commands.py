"""The command line, run in the process of the tests: imports are paid once."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from pathlib import Path
from unittest import mock

from sparsebench.cli import main


def plain_environment(folder: Path) -> dict[str, str]:
    """No configuration of the user, of this project or of CI; the cache of the tests stays."""
    foreign = ("SPARSEBENCH_", "GITHUB_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    for name in ("SPARSEBENCH_CACHE", "SPARSEBENCH_TEST_KERNELS"):
        kept[name] = os.environ[name]
    return {**kept, "NO_COLOR": "1", "XDG_CONFIG_HOME": str(folder / "config")}


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What `sparsebench WORDS` in a folder ends with and prints."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code = 0
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, plain_environment(folder), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
    printed = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(words, code, *printed)
