"""Makes the source of a predictor: the templates `predictor.py` and `predictor.c` with the numbers
of a network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.standalone.description import SRELU, LayerData, NetworkData

PER_LINE = 8


def python_source(net: NetworkData) -> str:
    """The Python source of a predictor, with the network's arrays as base64 of little-endian
    numbers."""
    lines = ["NETWORK: dict[str, Any] = {", f'    "task": {net.task!r},', '    "names": [']
    lines += [f"        {name!r}," for name in net.names]
    lines += ["    ],"]
    for name in ("mean", "scale", "target_mean", "target_scale"):
        lines.append(f'    "{name}": {_encoded("_doubles", getattr(net, name), "<f8")},')
    lines.append('    "layers": [')
    for layer in net.layers:
        curves = ", ".join(_encoded("_floats", values, "<f4") for values in layer.curves)
        lines += [
            "        {",
            f'            "curve": {layer.curve!r}, "slope": {layer.slope!r},',
            f'            "indptr": {_encoded("_whole", layer.indptr, "<i8")},',
            f'            "indices": {_encoded("_whole", layer.indices, "<i8")},',
            f'            "weights": {_encoded("_floats", layer.weights, "<f4")},',
            f'            "bias": {_encoded("_floats", layer.bias, "<f4")},',
            f'            "curves": [{curves}],',
            "        },",
        ]
    lines += ["    ],", "}"]
    template = _template("predictor.py").replace("NETWORK: dict[str, Any] = {}\n\n\n", "")
    before, main, after = template.partition('if __name__ == "__main__":')
    return before + "\n".join(lines) + "\n\n\n" + main + after


def c_source(net: NetworkData) -> str:
    """The C source of a predictor. Numbers are written in hexadecimal, so that they are exact."""
    return _template("predictor.c").replace("/* NETWORK */\n", "\n".join(_declarations(net)) + "\n")


def _declarations(net: NetworkData) -> Iterator[str]:
    widest = max(net.features, *(layer.outputs for layer in net.layers))
    sizes = {
        "FEATURES": net.features, "OUTPUTS": net.outputs, "WIDEST": widest,
        "LAYERS": len(net.layers), "TASK": net.task.upper(),
    }  # fmt: skip
    yield from (f"#define {name} {value}" for name, value in sizes.items())
    quoted = [_quoted(name) for name in net.names or [""]]
    yield f"static const char *const names[] = {{{', '.join(quoted)}}};"
    for name in ("mean", "scale", "target_mean", "target_scale"):
        yield from _array("double", name, getattr(net, name))
    for number, layer in enumerate(net.layers, 1):
        yield from _array("int64_t", f"indptr{number}", layer.indptr)
        yield from _array("int32_t", f"indices{number}", layer.indices)
        yield from _array("float", f"weights{number}", layer.weights)
        yield from _array("float", f"bias{number}", layer.bias)
        for name, values in zip(SRELU, layer.curves, strict=False):
            yield from _array("float", f"{name}{number}", values)
    yield "static const struct layer layers[] = {"
    yield from (f"    {_initialiser(number, layer)}," for number, layer in enumerate(net.layers, 1))
    yield "};"


def _quoted(text: str) -> str:
    """A C string literal in UTF-8. Bytes that are not printable ASCII, and characters that could be
    part of an escape or a trigraph, are written in octal."""
    plain = (
        chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode()
    )
    return f'"{"".join(plain)}"'


def _initialiser(number: int, layer: LayerData) -> str:
    arrays = [f"{name}{number}" for name in ("indptr", "indices", "weights", "bias")]
    curves = [f"{name}{number}" if layer.curves else "0" for name in SRELU]
    slope = f"{layer.slope.hex()}f"
    parts = [str(layer.outputs), *arrays, layer.curve.upper(), slope, *curves]
    return f"{{{', '.join(parts)}}}"


def _array(kind: str, name: str, values: Array) -> Iterator[str]:
    """Yield the lines that declare an array. An empty one gets one 0, as C has no arrays of length
    0."""
    numbers = _numbers(kind, values) or ["0"]
    yield f"static const {kind} {name}[] = {{"
    for start in range(0, len(numbers), PER_LINE):
        yield "    " + ", ".join(numbers[start : start + PER_LINE]) + ","
    yield "};"


def _numbers(kind: str, values: Iterable[Any]) -> list[str]:
    if kind.startswith("int"):
        return [str(int(value)) for value in values]
    suffix = "f" if kind == "float" else ""
    return [f"{float(value).hex()}{suffix}" for value in values]


def _encoded(reader: str, values: Array, kind: str) -> str:
    text = base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()
    return f'{reader}("{text}")'


def _template(name: str) -> str:
    return files("sparsebench.standalone").joinpath(name).read_text()
