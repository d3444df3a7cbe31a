"""Runs the phases of a program: a thread takes the next piece of work when it has time.

A program is two tables of int64. `items` (n, 4): the address of a kernel and its three arguments.
`phases` (p, 3): the first item of each phase, their number, and whether the calling thread does
them alone, as it should where waking another would take longer.

Tickets are drawn from one 64-bit word: the number of the phase, how many items it has, and the next
one. Whoever draws a ticket knows from it alone what to do, even when the phase that it looked for
has ended meanwhile; a valid ticket keeps its phase from ending. The caller takes what nobody else
has taken, and waits only for items that others are at work on. Beside a busy process such a thread
may have lost its core: having waited too long once, the caller works alone for a while.
"""

from __future__ import annotations

import ctypes
import math
import os

import numpy as np
from numba import njit, types

from sparsebench_plugins.backends.numba_csr.step.atomics import (
    HAS_FUTEX,
    add,
    array_at,
    call,
    load,
    nanoseconds,
    nap,
    pause,
    sched_yield,
    sleep_while,
    store,
    wake,
)

LINE = 64
TICKET, DONE, WORD, SLEEPING, STOP, FIRST, CLOCK, ALONE, STARTED, PORTABLE = (
    LINE * i for i in range(10)
)
"""Where each word is in the control block, in bytes: a cache line for each.

WORD      changes when sleeping helpers are to look again
FIRST     address of the first item of phase s, in word s % RING
ALONE     until when the caller works alone, in nanoseconds
STARTED   helpers that have started, those of them that flush denormals to zero, and a float32, the
          smallest that is normal
PORTABLE  whether threads wait without futex and without the processor's pause
"""

CONTROL = 10 * LINE

PORTABLE_WAIT = "SPARSEBENCH_PORTABLE_WAIT"
"""Environment variable: any value makes threads wait as on systems without futex."""
RING = 4
COUNT_BITS = 20
COUNT = (1 << COUNT_BITS) - 1
"""Of items of a phase; the two counts of a ticket have so many bits each."""

SPINS = 2_000
"""Looks of a helper for work before it sleeps: some 20 to 40 us."""

PATIENCE = 100_000
"""Nanoseconds of waiting from which on the caller works alone, unless its own part of the phase
took longer: then so many."""

SOLITUDE = 50_000_000
"""Nanoseconds for which it does."""

YIELD = 10_000
"""Nanoseconds of waiting after which the caller offers its core."""


@njit(nogil=True, forceinline=True)
def execute(item):
    """Run the item at an address."""
    words = array_at(item, 4, types.int64)
    call(words[0], words[1], words[2], words[3])


@njit(nogil=True)
def take_one(control):
    """Draw a ticket and do what it says. Returns whether there was anything to do."""
    ticket = load(control + TICKET)
    if ticket & COUNT >= (ticket >> COUNT_BITS) & COUNT:
        return False
    ticket = add(control + TICKET, 1)
    number, count = ticket & COUNT, (ticket >> COUNT_BITS) & COUNT
    if number >= count:
        return False
    phase = ticket >> (2 * COUNT_BITS)
    execute(load(control + FIRST + 8 * (phase % RING)) + 32 * number)
    add(control + DONE, 1)
    return True


@njit(nogil=True, cache=True)
def help_out(control):
    """Take items until the control block ends it; while there is none, spin briefly, then sleep."""
    tiny = array_at(control + STARTED + 16, 1, np.float32)[0]
    if tiny * np.float32(0.5) == 0:
        add(control + STARTED + 8, 1)
    add(control + STARTED, 1)
    portable = load(control + PORTABLE) != 0
    idle = slept = 0
    while load(control + STOP) == 0:
        if take_one(control):
            idle = slept = 0
            continue
        idle += 1
        if not portable:
            pause()
        if idle > SPINS:
            word = load(control + WORD)
            add(control + SLEEPING, 1)
            ticket = load(control + TICKET)
            if ticket & COUNT >= (ticket >> COUNT_BITS) & COUNT and load(control + STOP) == 0:
                if portable:
                    nap(slept)
                else:
                    sleep_while(control + WORD, word & 0xFFFFFFFF)
            add(control + SLEEPING, -1)
            slept += 1
            idle = SPINS if portable else 0


@njit(nogil=True)
def rouse(control):
    """Make sleeping helpers look again."""
    add(control + WORD, 1)
    if load(control + PORTABLE) == 0:
        wake(control + WORD)


@njit(nogil=True)
def run_shared(control, phase, items, count):
    """Run the items of a phase together with the helpers."""
    store(control + FIRST + 8 * (phase % RING), items)
    store(control + DONE, 0)
    store(control + TICKET, (phase << (2 * COUNT_BITS)) | (count << COUNT_BITS))
    if load(control + SLEEPING) > 0:
        rouse(control)
    published = nanoseconds(control + CLOCK)
    while take_one(control):
        pass
    if load(control + DONE) == count:
        return
    began = nanoseconds(control + CLOCK)
    patience = max(PATIENCE, began - published)
    while load(control + DONE) < count:
        pause()
        waited = nanoseconds(control + CLOCK) - began
        if waited > YIELD:
            sched_yield()
        if waited > patience:
            store(control + ALONE, began + waited + SOLITUDE)


@njit(nogil=True)
def run_phases(control, helped, serial, phases, items):
    """Run a program once. serial: the number of its first phase; returns the next one's."""
    for p in range(phases.shape[0]):
        first = items.ctypes.data + 32 * phases[p, 0]
        count = phases[p, 1]
        shared = helped and count > 1 and phases[p, 2] == 0
        if shared and load(control + ALONE) > 0:
            shared = nanoseconds(control + CLOCK) >= load(control + ALONE)
            if shared:
                store(control + ALONE, 0)
        if shared:
            run_shared(control, serial, first, count)
            serial = (serial + 1) & 0x3FFFFF
        else:
            for i in range(count):
                execute(first + 32 * i)
    return serial


@njit(nogil=True, cache=True)
def run_steps(control, helped, serial, phases, items, step, rules, rows, targets, parts, losses):
    """Run a program for several steps in a row; stop behind a loss that is not finite.

    step     (1,) `records.STEP`, which the kernels read; t is the number of the first step
    rules    (steps, 2) `records.RULE`: of weights, of biases
    rows, targets  (steps N,) rows of inputs and of targets, step after step
    parts    (tiles,) float64, where the kernels put the loss of each tile
    losses   (steps,) float64: the mean loss of each
    Returns how many steps were made, and the number of the next phase.
    """
    N = step[0].N
    for s in range(losses.size):
        step[0].rules = rules.ctypes.data + 2 * s * rules.itemsize
        step[0].rows = rows.ctypes.data + 8 * s * N
        step[0].target_rows = targets.ctypes.data + 8 * s * N
        serial = run_phases(control, helped, serial, phases, items)
        total = 0.0
        for part in parts:
            total += part
        losses[s] = total / N
        step[0].t += 1
        if not math.isfinite(losses[s]):
            return s + 1, serial
    return losses.size, serial


@njit(nogil=True, cache=True)
def run_once(control, helped, serial, phases, items):
    """Run a program once. Returns the number of the next phase."""
    return run_phases(control, helped, serial, phases, items)


@njit(nogil=True, cache=True)
def stop_helpers(control):
    store(control + STOP, 1)
    rouse(control)


def control_block() -> np.ndarray:
    """Memory of a control block, on a cache line."""
    room = np.zeros(CONTROL + LINE, dtype=np.uint8)
    skip = -room.ctypes.data % LINE
    block = room[skip : skip + CONTROL]
    block[STARTED + 16 : STARTED + 20].view(np.float32)[0] = np.finfo(np.float32).tiny
    block[PORTABLE] = not HAS_FUTEX or PORTABLE_WAIT in os.environ
    return block


def started(control: int) -> int:
    """Helpers that have started."""
    return int(ctypes.c_int64.from_address(control + STARTED).value)


def flushing(control: int) -> int:
    """Helpers that take denormals for zeros, of those that have started."""
    return int(ctypes.c_int64.from_address(control + STARTED + 8).value)
