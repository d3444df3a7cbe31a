"""Predicts with one truly sparse network. Needs nothing but Python 3.

    python predictor.py < samples.csv      a sample per line, a prediction per line
    python predictor.py --time             microseconds per sample
    from predictor import predict          predict([0.1, 2.5, ...])

Written by sparsebench.
"""

from __future__ import annotations

import array
import base64
import math
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

NETWORK: dict[str, Any] = {}


def outputs(x: Sequence[float]) -> list[float]:
    """Pre-activations of the last layer for one sample."""
    mean, scale = NETWORK["mean"], NETWORK["scale"]
    if len(x) != len(mean):
        raise ValueError(f"{len(x)} values; expected {len(mean)}, a value per feature")
    a = [(value - m) * s for value, m, s in zip(x, mean, scale)]
    for layer in NETWORK["layers"]:
        z, start = [], 0
        indices, weights = layer["indices"], layer["weights"]
        for end, bias in zip(layer["indptr"][1:], layer["bias"]):
            for k in range(start, end):
                bias += weights[k] * a[indices[k]]
            z.append(bias)
            start = end
        a = _activated(z, layer)
    return a


def _activated(z: list[float], layer: dict[str, Any]) -> list[float]:
    if layer["curve"] == "linear":
        return [value if value >= 0 else layer["slope"] * value for value in z]
    if layer["curve"] == "tanh":
        return [math.tanh(value) for value in z]
    if layer["curve"] == "sigmoid":
        return [0.5 * (1 + math.tanh(value / 2)) for value in z]
    found = []
    for value, t_left, a_left, t_right, a_right in zip(z, *layer["curves"]):
        if value >= t_right:
            found.append(t_right + a_right * (value - t_right))
        elif value <= t_left:
            found.append(t_left + a_left * (value - t_left))
        else:
            found.append(value)
    return found


def predict(x: Sequence[float]) -> Any:
    """The prediction for one sample: its most likely label, its numbers, or its flags 0 and 1."""
    z = outputs(x)
    if NETWORK["task"] == "class":
        return NETWORK["names"][max(range(len(z)), key=z.__getitem__)]
    if NETWORK["task"] == "flag":
        return [int(value > 0) for value in z]
    return [v * s + m for v, s, m in zip(z, NETWORK["target_scale"], NETWORK["target_mean"])]


def _floats(text: str) -> Any:
    return array.array("f", base64.b64decode(text))


def _doubles(text: str) -> Any:
    return array.array("d", base64.b64decode(text))


def _whole(text: str) -> Any:
    return array.array("q", base64.b64decode(text))


def main() -> int:
    if sys.argv[1:] == ["--time"]:
        began, rounds = time.perf_counter(), 0
        while time.perf_counter() - began < 1:
            predict(NETWORK["mean"])
            rounds += 1
        print(f"{(time.perf_counter() - began) / rounds * 1e6:.1f} us per sample")
        return 0
    for number, line in enumerate(sys.stdin, 1):
        words = re.split(r"[,;\s]+", line.strip())
        if words == [""]:
            continue
        try:
            found = predict([float(word) for word in words])
        except ValueError as error:
            print(f"line {number}: {error}", file=sys.stderr)
            return 1
        print(",".join(map(repr, found)) if isinstance(found, list) else found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
