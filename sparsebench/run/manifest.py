"""Makes the manifest of a run: planned trials, versions and the machine at its beginning."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sparsebench import machine
from sparsebench.core.trial import Trial
from sparsebench.metrics import declared_metrics
from sparsebench.run.executor import Context
from sparsebench.run.machine_facts import surroundings
from sparsebench.store import provenance
from sparsebench.store.attempts import this_process
from sparsebench.store.store import planned


def manifest(context: Context, trials: Sequence[Trial]) -> dict[str, Any]:
    """The manifest as JSON data. Unless --identify is given, only the scheme of a scheduler's
    address is kept, such as `tcp://`."""
    suite, options = context.suite, context.options
    argv, address = options.argv, options.address
    if address and not options.identify:
        argv = [word.replace(address, "<address>") for word in argv]
    if address is not None and not options.identify:
        address = f"{address.partition('://')[0]}://" if "://" in address else "tcp://"
    where = {"address": address, "shard": options.shard}
    return {
        "title": suite.title,
        "suite_hash": hashlib.blake2b(suite.text.encode(), digest_size=16).hexdigest(),
        "argv": [provenance.impersonal(word) for word in argv],
        "versions": provenance.versions(),
        "interpreter": provenance.interpreter(),
        "machine": machine.describe(),
        "plugins": provenance.plugin_list(context.plugins),
        "metrics": [
            metric.to_json() for metric in declared_metrics(context.plugins, trials).added()
        ],
        "git": provenance.git_state(),
        "data": provenance.data_list(trials),
        "surroundings": surroundings(options.store),
        **({"identity": provenance.identity()} if options.identify else {}),
        "jobs": options.jobs,
        "executor": options.executor,
        **{key: value for key, value in where.items() if value is not None},
        "process": this_process(),
        "trials": planned(trials),
    }
