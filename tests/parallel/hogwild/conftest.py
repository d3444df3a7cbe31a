from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest


@pytest.fixture(scope="session")
def in_own_process() -> Iterator[Callable[..., Any]]:
    """in_own_process(f, ...): f(...) in a process that has done nothing before; a new one each
    time, forked from one that has imported what is needed and run nothing of it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sparsebench_parallel.hogwild.trainer"])
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        yield lambda function, *args, **given: pool.submit(function, *args, **given).result()
