"""Starts the command line: `sparsebench` and `python -m sparsebench`.

This is a separate module, so that Ctrl-C while the command line is imported prints one line and no
traceback.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    try:
        from sparsebench.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
