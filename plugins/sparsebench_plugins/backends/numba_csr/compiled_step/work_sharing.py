"""Runs the phases of a program on several threads; each idle thread takes the next piece of work.

A program consists of two tables of int64. `items` (n, 4) has the address of a kernel and its three
arguments. `phases` (p, 4) has the first item of each phase, the number of its items, whether the
calling thread runs them alone, which is faster for little work than waking another thread, and the
nanoseconds that the phase has taken so far.

Threads draw tickets from one 64-bit word that contains the number of the phase, its number of
items, and the next item. A ticket contains all that a thread needs to know, even if the phase that
the thread was looking for has ended meanwhile. A phase cannot end while a valid ticket for it is
out. The caller takes all items that no other thread has taken, and waits only for items that others
are working on. If the machine is busy, such a thread may have lost its core, so after one long wait
the caller works alone for a while.
"""

from __future__ import annotations

import ctypes
import math
import os

import numpy as np
from numba import njit, types

from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import (
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
SPAN, RETURNED = ALONE + 8, ALONE + 16
"""The byte offset of each word in the control block; each has its own cache line.

TICKET    the word from which tickets are drawn
DONE      number of items of the phase that are done
WORD      changes when sleeping helpers should look for work again
SLEEPING  number of sleeping helpers
STOP      not 0: helpers should end
FIRST     address of the first item of phase s, in word s % RING
ALONE     time until which the caller works alone, in nanoseconds
STARTED   number of helpers that have started, number of these that flush denormals to zero, and the
          smallest normal float32
SPAN      for how long the caller worked alone the last time, in nanoseconds
RETURNED  when it stopped working alone
PORTABLE  whether threads wait without futex and without the processor's pause instruction
"""

CONTROL = 10 * LINE

PORTABLE_WAIT = "SPARSEBENCH_PORTABLE_WAIT"
"""Environment variable: any value makes threads wait as on systems without futex."""
RING = 4
COUNT_BITS = 20
COUNT = (1 << COUNT_BITS) - 1
"""The largest number of items in a phase; each of a ticket's two counts has COUNT_BITS bits."""

SPINS = 2_000
"""How often a helper looks for work before it sleeps: for about 20 to 40 us."""

PATIENCE = 100_000
"""If the caller has to wait longer than this many nanoseconds, or than its own part of the phase
took if that is longer, it works alone for a while."""

SOLITUDE, LONGEST = 50_000_000, 800_000_000
"""For how many nanoseconds the caller then works alone: the first time, and at most."""

RECENT = 50_000_000
"""If the caller has to wait again within this many nanoseconds of working together, another program
still needs a core, and the caller works alone for twice as long as before."""

YIELD = 10_000
"""After waiting this many nanoseconds, the caller yields its core."""


@njit(nogil=True, forceinline=True)
def execute(item):
    """Run the item at an address."""
    words = array_at(item, 4, types.int64)
    call(words[0], words[1], words[2], words[3])


@njit(nogil=True)
def take_one(control):
    """Draw a ticket and execute its item. Returns whether there was one."""
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
    """Take items until the control block says to stop. While there is none, spin briefly, then
    sleep."""
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
    """Wake the sleeping helpers, so that they look for work."""
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
    waited = 0
    while load(control + DONE) < count:
        pause()
        waited = nanoseconds(control + CLOCK) - began
        if waited > YIELD:
            sched_yield()
    if waited > patience:
        now = began + waited
        span = next_span(load(control + SPAN), now - load(control + RETURNED))
        store(control + SPAN, span)
        store(control + ALONE, now + span)


@njit(nogil=True)
def next_span(last, together):
    """For how many nanoseconds the caller works alone now.

    last      for how long it did so the last time
    together  for how long the threads have worked together since
    """
    return min(2 * last, LONGEST) if together < RECENT else SOLITUDE


@njit(nogil=True)
def run_phases(control, helped, serial, phases, items):
    """Run a program once, and add the time of each phase to its table.

    serial  the number of its first phase

    Returns the number of the next phase.
    """
    began = nanoseconds(control + CLOCK)
    for p in range(phases.shape[0]):
        first = items.ctypes.data + 32 * phases[p, 0]
        count = phases[p, 1]
        shared = helped and count > 1 and phases[p, 2] == 0
        if shared and load(control + ALONE) > 0:
            now = nanoseconds(control + CLOCK)
            shared = now >= load(control + ALONE)
            if shared:
                store(control + ALONE, 0)
                store(control + RETURNED, now)
        if shared:
            run_shared(control, serial, first, count)
            serial = (serial + 1) & 0x3FFFFF
        else:
            for i in range(count):
                execute(first + 32 * i)
        ended = nanoseconds(control + CLOCK)
        phases[p, 3] += ended - began
        began = ended
    return serial


@njit(nogil=True, cache=True)
def run_steps(control, helped, serial, phases, items, step, rules, rows, targets, parts, losses):
    """Run a program for several steps in a row; stop after a loss that is not finite.

    step     (1,) `records.STEP`, which the kernels read; t is the number of the first step
    rules    (steps, 2) `records.RULE` for weights and for biases
    rows, targets  (steps N,) rows of inputs and of targets, step after step
    parts    (tiles,) float64, where the kernels write the loss of each tile
    losses   (steps,) float64, written: the mean loss of each step

    Returns the number of steps made, and the number of the next phase.
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
    """Memory for a control block, aligned to a cache line."""
    room = np.zeros(CONTROL + LINE, dtype=np.uint8)
    skip = -room.ctypes.data % LINE
    block = room[skip : skip + CONTROL]
    block[STARTED + 16 : STARTED + 20].view(np.float32)[0] = np.finfo(np.float32).tiny
    block[PORTABLE] = not HAS_FUTEX or PORTABLE_WAIT in os.environ
    return block


def started(control: int) -> int:
    """The number of helpers that have started."""
    return int(ctypes.c_int64.from_address(control + STARTED).value)


def flushing(control: int) -> int:
    """The number of started helpers that treat denormals as zero."""
    return int(ctypes.c_int64.from_address(control + STARTED + 8).value)
