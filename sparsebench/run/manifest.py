"""What a run's manifest says when the run begins: the plan, and under what circumstances."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sparsebench import machine
from sparsebench.core.trial import Trial
from sparsebench.metrics import in_force
from sparsebench.run.context import Context
from sparsebench.run.options import Options
from sparsebench.run.surroundings import surroundings
from sparsebench.store import provenance
from sparsebench.store.store import planned


def manifest(context: Context, trials: Sequence[Trial]) -> dict[str, Any]:
    suite, options = context.suite, context.options
    return {
        "title": suite.title,
        "suite_hash": hashlib.blake2b(suite.text.encode(), digest_size=16).hexdigest(),
        "argv": _argv(options),
        "versions": provenance.versions(),
        "interpreter": provenance.interpreter(),
        "machine": machine.describe(),
        "plugins": provenance.plugin_list(context.plugins),
        "metrics": [metric.to_json() for metric in in_force(context.plugins, trials).added()],
        "git": provenance.git_state(),
        "data": provenance.data_list(trials),
        "surroundings": surroundings(options.store),
        **({"identity": provenance.identity()} if options.identify else {}),
        "jobs": options.jobs,
        "executor": options.executor,
        **_where(options),
        "trials": planned(trials),
    }


def _argv(options: Options) -> list[str]:
    """Without the name of a cluster's host, unless hosts are to be named."""
    argv, address = options.argv, options.address
    if address and not options.identify:
        argv = [word.replace(address, "<address>") for word in argv]
    return [provenance.impersonal(word) for word in argv]


def _where(options: Options) -> dict[str, str]:
    """The shard, and how a cluster was reached."""
    address, shard = options.address, options.shard
    if address is not None and not options.identify:
        address = f"{address.partition('://')[0]}://" if "://" in address else "tcp://"
    told = {"address": address, "shard": shard}
    return {key: value for key, value in told.items() if value is not None}
