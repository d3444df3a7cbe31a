"""Files that a command line names are replaced whole, and what is not a regular file is kept."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.store.safe_files import output_file, write_output


def test_a_regular_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "table.csv"
    write_output(file, "first")
    os.link(file, tmp_path / "kept.csv")
    with pytest.raises(TypeError), output_file(file) as stream:
        stream.writelines([b"half", "no bytes"])  # type: ignore[list-item]
    assert file.read_text() == "first"
    write_output(file, b"second")
    assert (file.read_text(), (tmp_path / "kept.csv").read_text()) == ("second", "first")
    assert os.listdir(file.parent) == ["table.csv"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("longer than what follows")
    link.symlink_to(target)
    write_output(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    dangling = tmp_path / "dangling.csv"
    dangling.symlink_to(tmp_path / "made.csv")
    write_output(dangling, "new")
    assert dangling.is_symlink()
    assert (tmp_path / "made.csv").read_text() == "new"


def test_a_named_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write_output(pipe, "through")
    reader.join(timeout=20)
    assert found == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device() -> None:
    before = os.stat(os.devnull)
    write_output(Path(os.devnull), "nothing")
    assert os.stat(os.devnull).st_ino == before.st_ino
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize("place", [".", "file/below", "/proc/nowhere/x", "x" * 300])
def test_what_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SparsebenchError, match=r"cannot write .*: \w+") as caught:
        write_output(tmp_path / place, "text")
    assert "\n" not in str(caught.value)
