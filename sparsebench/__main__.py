"""`sparsebench` and `python -m sparsebench`.

Apart from the command line itself, so that Ctrl-C while that is still being imported is told in a
line too.
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
