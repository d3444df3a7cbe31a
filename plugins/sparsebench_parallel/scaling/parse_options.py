"""What a user asks of the model, from words to numbers."""

from __future__ import annotations

import re

from sparsebench import units
from sparsebench.errors import SparsebenchError
from sparsebench_parallel.scaling.report import ScalingOptions

MOST = 100_000
"""Workers or servers that can be asked for."""


class ScalingError(SparsebenchError):
    """A number of workers, servers or cores, or a speed of the network, is not usable."""


def parse_options(
    workers: str, servers: str, cores: str, latency: str | None, bandwidth: str | None
) -> ScalingOptions:
    """Raises ScalingError, which names the option."""
    return ScalingOptions(
        workers=counts(workers, "--workers"),
        servers=counts(servers, "--servers"),
        cores=None if cores == "each" else float(_count(cores, "--cores", "a number, or 'each'")),
        latency=None if latency is None else _latency(latency),
        bandwidth=None if bandwidth is None else _bandwidth(bandwidth),
    )


def counts(text: str, option: str) -> tuple[int, ...]:
    """1,2,4,...,1000 and the like: where there are dots, the number before is doubled as long as
    it is below the one behind. Rising, each once."""
    found: list[int] = []
    doubling = False
    for word in (part.strip() for part in text.split(",")):
        if word in ("...", "…") and found and not doubling:
            doubling = True
            continue
        number = _count(word, option, "numbers such as 1,2,4,...,1000")
        while doubling and 2 * found[-1] < number:
            found.append(2 * found[-1])
        doubling = False
        found.append(number)
    if doubling:
        raise ScalingError(f"{option}: {text!r} ends with dots; expected a number behind them")
    return tuple(sorted(set(found)))


def _count(word: str, option: str, wanted: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", word) or not 1 <= int(word) <= MOST:
        raise ScalingError(f"{option}: expected {wanted}, from 1 to {MOST}, found {word!r}")
    return int(word)


def _latency(text: str) -> float:
    """Seconds; microseconds and nanoseconds too, which durations of trials have no use for."""
    short = re.fullmatch(r"\s*([0-9.]+)\s*(us|µs|ns)\s*", text)
    try:
        if short is not None:
            return float(short[1]) * (1e-9 if short[2] == "ns" else 1e-6)
        return units.seconds(text)
    except ValueError:
        raise ScalingError(
            f"--latency: expected a duration such as '50us', found {text!r}; "
            "known units: ns, us, ms, s"
        ) from None


def _bandwidth(text: str) -> float:
    """Bytes a second."""
    try:
        return float(units.size(text.strip().removesuffix("/s")))
    except ValueError:
        raise ScalingError(
            f"--bandwidth: expected bytes a second such as '1GB/s', found {text!r}; "
            f"known units: {', '.join(f'{unit}/s' for unit in units.BYTES)}"
        ) from None
