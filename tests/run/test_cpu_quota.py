"""The default number of threads follows the quota of the control group, of version 1 or 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsebench.cores_and_threads import cpu_quota, default_threads, usable_cores

MOUNT = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def version_2(root: Path, limits: dict[str, str], group: str = "/a/b") -> Path:
    files = {f"sys/fs/cgroup{folder}/cpu.max": text for folder, text in limits.items()}
    there = {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": MOUNT}
    (root / f"sys/fs/cgroup{group}").mkdir(parents=True)
    return tree(root, files | there)


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({"/a/b": "100000 100000\n"}, 1.0),
        ({"/a/b": "max 100000\n"}, None),
        ({"/a/b": "max 100000\n", "/a": "150000 100000\n"}, 1.5),
        ({"/a/b": "400000 100000\n", "/a": "200000 100000\n"}, 2.0),
        ({}, None),
        ({"/a/b": "nonsense\n"}, None),
    ],
)
def test_the_smallest_quota_of_the_group_and_those_above(
    tmp_path: Path, limits: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(version_2(tmp_path, limits)) == quota


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    files = {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": MOUNT,
             "sys/fs/cgroup/cpu.max": "50000 100000\n"}  # fmt: skip
    assert cpu_quota(tree(tmp_path, files)) == 0.5
    assert default_threads(tmp_path) == 1


@pytest.mark.parametrize(
    ("folder", "controllers", "path"),
    [
        ("cpu", "cpu,cpuacct", "/docker/1"),
        ("cpu,cpuacct", "cpu,cpuacct", "/docker/1"),
        ("cpu", "cpu", "/"),
    ],
)
def test_version_1(tmp_path: Path, folder: str, controllers: str, path: str) -> None:
    """The path in the group's own file may be the host's, where the container mounts only its own
    group at the top."""
    top = f"sys/fs/cgroup/{folder}"
    files = {
        "proc/self/cgroup": f"9:memory:/x\n4:{controllers}:{path}\n",
        f"{top}/cpu.cfs_quota_us": "-1\n" if path != "/" else "300000\n",
        f"{top}/cpu.cfs_period_us": "100000\n",
    }
    if path != "/":
        files |= {f"{top}{path}/cpu.cfs_quota_us": "300000\n",
                  f"{top}{path}/cpu.cfs_period_us": "100000\n"}  # fmt: skip
    assert cpu_quota(tree(tmp_path, files)) == 3.0


def test_no_group_is_no_limit(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert default_threads(tmp_path) == len(usable_cores())


def test_threads_follow_the_quota_down_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsebench.cores_and_threads.usable_cores", lambda: list(range(8)))
    root = version_2(tmp_path, {"/a/b": "250000 100000\n"})
    assert default_threads(root) == 2
    tree(root, {"sys/fs/cgroup/a/b/cpu.max": "1600000 100000\n"})
    assert default_threads(root) == 8
