"""The roofline model: bytes and flops of each operation of a sparse layer, and the limit that binds
it.

Letters: W is (K, D) with E connections, N samples, an activation has `a` bytes (4, or 2), an index
i bytes (4, or 8), the optimizer's state of a connection s bytes (4 with momentum).

| operation         | gathered     | read beside                  | written                | flops |
|-------------------|--------------|------------------------------|------------------------|-------|
| forward           | E rows of X  | (4 + i) E + i (K + 1) + 4 K  | a K N                  | 2 E N |
| transposed        | E rows of DZ | (4 + i) E + i (D + 1)        | a D N                  | 2 E N |
| sddmm             | E rows of DZ | i E + i (D + 1) + a D N      | 4 E + 4 K              | 2 E N |
| backward          | E rows of DZ | sddmm's + 4 E                | sddmm's + a D N        | 4 E N |
| backward-and-step | E rows of DZ | sddmm's + (4 + s) E          | sddmm's + s E + a D N  | 4 E N |
| index             |              | (1 + 4 + s + i) E            | (4 + s + 3 i) E        | 0     |
| drop              |              | E + (4 + s + i) E'           | (4 + s + i) E'         | 0     |
| grow              |              | (5 + s + i) E' + (4 + 2 i) G | (4 + s + i) (E' + G)   | 0     |
| rewire            |              | (1 + 8 + s + i) E            | (1 + 4 + s + i) E      | 0     |

E' is the number of connections that are left of E after the drop; G connections are grown.
"Gathered" rows are read at random positions; sizes are in bytes. A row of X or DZ, one neuron's
activations for all samples, has a N bytes. Backward passes go through the connections by column of
W. For up to 8 samples they go by row of W instead, because layers then keep no list of the
connections by column: they gather a row of X, and add to the row of DX at the same position. Arrays
that are read or written once, such as outputs, count as streamed. The rest of a cache line beside a
row, and data that a backend stores beyond the csr arrays, do not count. Every figure is thus the
least number of bytes that must move, and the resulting time is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NARROW = 8
"""The most samples for which backward passes go by row of W (see above). Gathered rows of at most
4 NARROW bytes are called narrow."""

UPDATE_SHARE = 0.25
"""If at least this share of streamed bytes is written, streams are compared with the triad probe
instead of the reading probe."""


@dataclass(frozen=True)
class Size:
    """Sizes of a layer and its batch; letters as above.

    activation, index, state  bytes of an activation, of an index, and of a connection's optimizer
                              state
    """

    K: int
    D: int
    E: int
    N: int
    activation: int = 4
    index: int = 4
    state: int = 4


@dataclass(frozen=True)
class Demand:
    """Bytes and flops that an operation needs.

    gathers        number of rows of row_bytes that are read at random positions of working_set
                   bytes
    added          whether a row is also added to at each position, in another array of that size
    read, written  bytes that are streamed
    """

    gathers: int = 0
    row_bytes: int = 0
    working_set: int = 0
    added: bool = False
    read: int = 0
    written: int = 0
    flops: int = 0

    @property
    def gathered(self) -> int:
        """Gathered bytes; a row that is added to is read and written."""
        return self.gathers * self.row_bytes * (3 if self.added else 1)

    @property
    def streamed(self) -> int:
        return self.read + self.written

    @property
    def bytes(self) -> int:
        return self.gathered + self.streamed

    @property
    def updates(self) -> bool:
        """Whether streams are compared with triad, because much is written."""
        return self.written >= UPDATE_SHARE * self.streamed

    def __add__(self, other: Demand) -> Demand:
        """The demand of both operations in sequence, with the larger row and the larger working set
        of the two."""
        return Demand(
            gathers=self.gathers + other.gathers,
            row_bytes=max(self.row_bytes, other.row_bytes),
            working_set=max(self.working_set, other.working_set),
            added=self.added or other.added,
            read=self.read + other.read,
            written=self.written + other.written,
            flops=self.flops + other.flops,
        )


def demand(kernel: str, n: Size, share: float = 0.0) -> Demand:
    """The demand of the operation `kernel` on one layer.

    share  fraction of the connections that `drop` drops or `grow` grows
    """
    K, D, E, N, i = n.K, n.D, n.E, n.N, n.index
    row = n.activation * N
    weights = 4 + n.state
    match kernel:
        case "forward" | "evaluate":
            ends = i * (K + 1) + 4 * K
            return Demand(
                E, row, D * row, read=(4 + i) * E + ends, written=K * row, flops=2 * E * N
            )
        case "transposed":
            return Demand(
                E, row, K * row, read=(4 + i) * E + i * (D + 1), written=D * row, flops=2 * E * N
            )
        case "sddmm":
            return _backward(n, read=i * E, written=4 * E, downstream=False)
        case "backward":
            return _backward(n, read=(4 + i) * E, written=4 * E)
        case "backward-and-step":
            return _backward(n, read=(weights + i) * E, written=weights * E)
        case "index":
            return Demand(read=(1 + weights + i) * E, written=(weights + 3 * i) * E)
        case "drop" | "grow":
            before, after = E, round((1 - share) * E)
            if kernel == "grow":
                before, after = after, before
            old = before + (weights + i) * min(before, after)
            new = (after - min(before, after)) * (4 + 2 * i)
            return Demand(read=old + new, written=(weights + i) * after)
        case "rewire":
            return Demand(read=(1 + 4 + weights + i) * E, written=(1 + weights + i) * E)
    raise ValueError(f"no kernel {kernel!r}")


def _backward(n: Size, read: int, written: int, downstream: bool = True) -> Demand:
    row = n.activation * n.N
    flops = (4 if downstream else 2) * n.E * n.N
    written += 4 * n.K
    if n.N <= NARROW:
        return Demand(
            n.E, row, n.D * row, downstream,
            read=read + n.index * (n.K + 1) + n.K * row, written=written, flops=flops,
        )  # fmt: skip
    outputs = n.D * row if downstream else 0
    return Demand(
        n.E, row, n.K * row,
        read=read + n.index * (n.D + 1) + n.D * row, written=written + outputs, flops=flops,
    )  # fmt: skip


# --- which limit binds ----------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """Rates that the machine reached: bytes per second of gathers (counted as in `Demand.gathered`)
    and of streams, and flops per second.

    part  fraction of the batch that was gathered at a time in the fastest probe
    """

    gather: float
    stream: float
    flops: float
    part: float = 1.0


@dataclass(frozen=True)
class Bound:
    """The binding limit: its name, and the least seconds that it allows.

    limits  the least seconds that each limit allows, by name
    """

    name: str
    seconds: float
    limits: Mapping[str, float]


def bound(needs: Demand, rates: Rates, caches: Sequence[tuple[str, int]] = ()) -> Bound:
    """The limit that allows the longest time: gathers, streams or flops. In the best case all of
    them overlap, so that one is the bound."""
    row = "row" if needs.row_bytes > NARROW * 4 else "narrow"
    word = "gather-add" if needs.added else "gather"
    held = int(needs.working_set * (2 if needs.added else 1) * rates.part)
    rows = f"{row} {word}, {'tiles in ' if rates.part < 1 else ''}{level(held, caches)}"
    limits = {"flops": needs.flops / rates.flops}
    if needs.gathers:
        limits[rows] = needs.gathered / rates.gather
    limits[f"stream, {level(needs.streamed, caches)}"] = needs.streamed / rates.stream
    name = max(limits, key=lambda key: limits[key])
    return Bound(name, limits[name], limits)


def level(size: int, caches: Sequence[tuple[str, int]]) -> str:
    """The name of the smallest cache that holds `size` bytes; "memory" if none does."""
    return next((name for name, room in caches if size <= room), "memory")
