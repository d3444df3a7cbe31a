"""The honesty audit: judges whether a backend is truly sparse, by a trial's own bytes and by a
probe, which measures layers with equally many connections and growing K D.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.core.audit.probe_evidence import (
    Evidence,
    Growth,
    Point,
    dense_limit,
    largest_growth,
    more_entries,
    sparse_limit,
)
from sparsebench.core.sizes import SizedBackend
from sparsebench.registry import Component, Plugins
from sparsebench.store.record import CANNOT_TELL, CONTRADICTED, SIMULATED, TRULY_SPARSE, UNKNOWN
from sparsebench.units import brief_size

DENSE_STORAGE = "dense-storage"
DENSE_WORK = "dense-work"
UNDECLARED = "undeclared-bytes"

MIB = 2**20
FLOAT = 4

DECLARED_BYTES = 0.05
"""A backend is judged dense if its declared bytes grow by more than this per entry of K D.
Declarations are exact; one bit per entry is 0.125 bytes."""

MEASURED_BYTES = 0.4
"""The same limit for measured memory. A mask of bytes takes 1 byte per entry, float32 takes 4. For
truly sparse backends, memory that the system's allocator keeps or returns came to at most 0.1."""

FLOOR, TOUCHED_FLOOR = 3 * MIB // 4, 3 * MIB
"""Growth of measured memory, and of touched memory, below these bytes is ignored: it may be due to
the allocator or to pages of libraries."""

VARIATION = 16
"""Bytes a connection by which peaks of layers of different shapes may differ without dense storage:
how much of the memory of temporary arrays is reused depends on the allocator. Dense float32 weights
take 64 bytes a connection at the highest density that is probed, a mask of bytes 16, which is then
not found by memory."""

NETWORK_FLOOR = 2 * MIB
"""`FLOOR` for networks. Growth by exact gradients uses tiles, which thin layers fill less; the
difference came to 1.3 MiB."""

HELD_SHARE, HELD_FLOOR = 3.0, 6 * MIB
"""A layer may hold HELD_SHARE times its declared bytes plus HELD_FLOOR bytes; more is a finding."""

SMALL = 4 * MIB
"""Trials whose dense weights would take fewer bytes than this are not judged, because any process
uses as much."""

PER_CONNECTION, PER_NEURON = 48, 64
"""Bytes per connection and per neuron that a truly sparse layer may store: enough for weights and
Adam's state in two orders."""

PEAK_SHARE, PEAK_FLOOR = 4.0, 8 * MIB
"""A net peak may be PEAK_SHARE times the stored bytes plus PEAK_FLOOR bytes; more is a finding."""


@dataclass(frozen=True)
class Judgement:
    """The result of judging a probe or a trial.

    flags   names of the findings; empty if nothing was found
    sure    whether an empty `flags` is reliable
    why     one sentence with numbers
    numbers the measurements that a record keeps
    """

    flags: tuple[str, ...]
    sure: bool
    why: str
    numbers: dict[str, Any]


def judge(found: Evidence) -> Judgement:
    """Judge the probe of a backend's layers: first dense storage and dense work, by how memory and
    time grow with K D, then bytes that are held but not declared."""
    slowest, square = largest_growth(found.points), found.square
    growths = []
    for call, most in square.peaks.items():
        least = max(point.peaks.get(call, 0) for point in found.thin)
        growths.append(Growth(call, least, most, most / max(least, 1)))
    biggest = _first_of_the_largest(growths)
    risen = biggest.most - biggest.least if biggest is not None else 0.0
    more = more_entries(found.points)
    declared = square.declared - max(point.declared for point in found.thin)
    used = _most_touched(found.points)
    floor = max(NETWORK_FLOOR if found.sizes.network else FLOOR, MEASURED_BYTES * more,
                VARIATION * found.sizes.nnz)  # fmt: skip
    touched_floor = max(TOUCHED_FLOOR, MEASURED_BYTES * more, VARIATION * found.sizes.nnz)
    flags: dict[str, str] = {}
    if declared > DECLARED_BYTES * more:
        flags[DENSE_STORAGE] = f"declares {declared / more:.1f} bytes more for each entry of K D"
    elif biggest is not None and risen > floor:
        flags[DENSE_STORAGE] = (
            f"{biggest.call} takes {brief_size(int(biggest.most))} where as many connections in a "
            f"thin layer take {brief_size(int(biggest.least))}"
        )
    elif used is not None and used.most - used.least > touched_floor:
        flags[DENSE_STORAGE] = (
            f"{used.call} uses {brief_size(int(used.most))} of memory that was there before, where "
            f"as many connections in a thin layer use {brief_size(int(used.least))}"
        )
    times = (
        f"{slowest.call} takes {slowest.factor:.1f} times as long "
        f"({slowest.least * 1e3:.2g} ms to {slowest.most * 1e3:.2g} ms)"
    )
    if slowest.factor >= dense_limit(found.points):
        flags[DENSE_WORK] = times
    much = square.held > HELD_SHARE * square.declared + HELD_FLOOR
    if much and declared <= DECLARED_BYTES * more:
        flags[UNDECLARED] = (
            f"holds {brief_size(square.held)} and declares {brief_size(square.declared)}"
        )
    unclear = ""
    if sparse_limit(found.points) <= slowest.factor < dense_limit(found.points):
        unclear = f"{times}, too close to tell"
    elif not square.peaks:
        unclear = "this system has no high-water mark of memory that can be reset"
    elif more < FLOOR:
        side = found.sizes.side
        unclear = f"a layer of {side} x {side}, all that fits, is too small"
    nothing = f"no call takes more than {max(slowest.factor, 1.0):.1f} times as long"
    if risen > 0:
        nothing += f", nor more than {brief_size(int(risen))} more memory"
    elif biggest is not None:
        nothing += ", nor any more memory"
    growth = square.size / found.thin[0].size
    head = f"probed {found.sizes}, K D growing {growth:.0f} times: "
    numbers: dict[str, Any] = {
        "side": found.sizes.side,
        "batch": found.sizes.batch,
        "density": found.sizes.density,
        "connections": found.sizes.nnz,
        "size_growth": round(growth, 2),
        "slowest_call": slowest.call,
        "time_growth": round(slowest.factor, 3),
        "thin_seconds": slowest.least,
        "square_seconds": slowest.most,
        "declared_bytes": square.declared,
        "held_bytes": square.held,
        "seconds": round(found.spent, 3),
    }
    if biggest is not None:
        numbers |= {
            "biggest_call": biggest.call,
            "thin_peak_bytes": int(biggest.least),
            "square_peak_bytes": int(biggest.most),
            "memory_growth": round(biggest.factor, 3),
        }
    why = "; ".join(flags.values()) or unclear or nothing
    return Judgement(tuple(flags), not unclear, head + why, numbers)


def _most_touched(points: Sequence[Point]) -> Growth | None:
    """The call whose touched memory grows most."""
    growths = []
    for call, most in points[-1].touched.items():
        least = max(point.touched.get(call, 0) for point in points[:-1])
        growths.append(Growth(call, least, most, most / max(least, 1)))
    return _first_of_the_largest(growths)


def _first_of_the_largest(growths: Sequence[Growth]) -> Growth | None:
    """The first growth that is about as large as the largest. Memory taken by a call may stay
    resident in later calls, so the first is the cause."""
    largest = max((growth.most - growth.least for growth in growths), default=0.0)
    enough = largest - 0.2 * abs(largest)
    return next((one for one in growths if one.most - one.least >= enough), None)


def contradicts_or_unsure(found: Evidence) -> bool:
    """Whether the evidence contradicts a backend that declares itself truly sparse, or leaves it in
    doubt. It is then probed again, because a second probe is cheap compared to a false
    accusation."""
    judged = judge(found)
    return bool(found.truly_sparse) and (bool(judged.flags) or not judged.sure)


def judge_bytes(
    layers: Sequence[Mapping[str, Any]],
    measures: Mapping[str, Any],
    processes: int = 1,
    *,
    dense_start: bool = False,
) -> Judgement:
    """Judge a trial's own bytes, given a record's `layers` and `measures`.

    processes  number of processes of the trial, each with its own network: the measured peak is
               that of all processes, declared bytes are those of one
    dense_start  whether the method declares that it chooses connections from a full network before
               training, which the peak shows
    """
    declared, peak = measures.get("stored_bytes"), measures.get("net_peak_bytes")
    if declared:  # at the end; at the start a network that is pruned stored more
        first, last = (measures.get(name) or 0 for name in ("initial_connections", "connections"))
        declared = round(declared * max(1.0, first / last if last else 1.0))
    entries = [int(one["shape"][0]) * int(one["shape"][1]) for one in layers if "shape" in one]
    dense = FLOAT * int(measures.get("dense_connections") or 0)
    if layers and len(entries) == len(layers):
        dense = FLOAT * sum(entries)
    flags = {}
    if full := [layer for layer in layers if _stores_all(layer)]:
        shapes = ", ".join("{} x {}".format(*layer["shape"]) for layer in full[:3])
        flags[DENSE_STORAGE] = (
            f"stores a value for each entry of K D in {len(full)} layers ({shapes})"
        )
    times_a_kernel = measures.get("kernel_seconds") is not None  # holds more than its network
    if declared and peak and dense >= SMALL and not times_a_kernel and not dense_start:
        known = processes * (PEAK_SHARE * declared + PEAK_FLOOR)
        # a byte for each entry of the largest layer has to be missing: less hides no dense matrix
        if peak > known and peak - known >= max(entries, default=0):
            flags[UNDECLARED] = (
                f"its net peak of {brief_size(peak)} is far above the {brief_size(declared)} it "
                "declares"
            )
    why = "; ".join(flags.values())
    if not why and dense_start:
        why = "its method chooses from a full network before training: its peak is not judged"
    elif not why and not (declared and peak):
        why = "the trial left no bytes to compare"
    elif not why and dense < SMALL:
        why = f"a network whose dense weights are {brief_size(dense)} is too small to tell"
    elif not why and declared and peak:
        sizes = (brief_size(peak), brief_size(declared), brief_size(dense))
        why = "net peak {}, declared {}, dense weights {}".format(*sizes)
    numbers = {"declared_bytes": declared, "net_peak_bytes": peak, "dense_bytes": dense}
    return Judgement(tuple(flags), bool(flags), why, numbers)


def only_a_high_peak(audit: Mapping[str, Any]) -> bool:
    """Whether the only finding of a record's `audit` is that the trial's net peak is above what its
    network declares, which is also the memory of its method and of its observers."""
    probe = audit.get("probe") or {}
    held, declared = probe.get("held_bytes", 0), probe.get("declared_bytes", 0)
    of_probes = audit.get("backend_flags") or audit.get("method_flags")
    return (
        audit.get("flags") == [UNDECLARED]
        and not of_probes
        and held <= HELD_SHARE * declared + HELD_FLOOR
    )


def _stores_all(layer: Mapping[str, Any]) -> bool:
    """Whether a layer declares a float for every entry of W although its connections need less than
    half of that. A dense topology proves nothing."""
    stored = layer.get("stored_bytes")
    if not isinstance(stored, Mapping) or "shape" not in layer:
        return False
    nnz = max(int(layer.get("initial_connections") or 0), int(layer.get("connections") or 0))
    K, D = map(int, layer["shape"])
    needed = PER_CONNECTION * nnz + PER_NEURON * (K + D)
    return sum(stored.values()) >= FLOAT * K * D >= 2 * needed


def claim_of(backend: Component, plugins: Plugins, declared: bool | None = None) -> str:
    """What a backend claims to be: TRULY_SPARSE, SIMULATED, or UNKNOWN if it declares nothing.

    declared  the `truly_sparse` of its class; None if that was not loaded: then that of its
              parameters counts
    """
    if declared is None:
        parameters = plugins.parameters("backend", backend)
        if not isinstance(parameters, SizedBackend):
            return UNKNOWN
        declared = parameters.truly_sparse
    return TRULY_SPARSE if declared else SIMULATED


def audited(
    claims: str,
    layers: Sequence[Mapping[str, Any]],
    measures: Mapping[str, Any],
    probed: Judgement | str,
    processes: int = 1,
    method: Judgement | str | None = None,
    dense_start: bool = False,
) -> dict[str, Any]:
    """The `audit` field of a record.

    probed     the judgement of the backend's probe, or why there is none
    processes  number of processes of the trial, each with its own network
    method     the judgement of the probe of model and topology, or why there is none; None if no
               such probe was needed
    dense_start  see `judge_bytes`
    """
    own = judge_bytes(layers, measures, processes, dense_start=dense_start)
    if isinstance(probed, str):
        probed = Judgement((), False, f"no probe: {probed}", {})
    if not isinstance(method, Judgement):
        method = Judgement((), False, f"no probe of model and topology: {method}", {})
    flags = list(dict.fromkeys([*probed.flags, *method.flags, *own.flags]))
    verdict = TRULY_SPARSE if probed.sure else CANNOT_TELL
    if flags:
        verdict = CONTRADICTED if claims == TRULY_SPARSE else SIMULATED
    clean = not (own.flags or method.flags)
    why = [probed.why] if probed.flags or clean else []
    why += [method.why] if method.flags or (method.numbers and clean) else []
    why += [own.why] if own.flags or not (probed.flags or method.flags) else []
    return {
        "claims": claims,
        "verdict": verdict,
        "flags": flags,
        "why": "; ".join(why),
        "probe": probed.numbers,
        **({"method_probe": method.numbers} if method.numbers else {}),
        **(
            {"method_flags": list(method.flags), "backend_flags": list(probed.flags)}
            if method.flags
            else {}
        ),
        **own.numbers,
    }
