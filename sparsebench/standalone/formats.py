"""The file formats in which a trained network can be written: python, c, safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sparsebench.core.archive import Archive
from sparsebench.errors import Unsupported
from sparsebench.standalone.description import described
from sparsebench.standalone.source import c_source, python_source
from sparsebench.trained_model import load_model

SOURCES = {"python": python_source, "c": c_source}


def write_network(model: Path, kind: str, target: BinaryIO) -> None:
    """Write the network of an exported model.

    model   its npz file
    kind    "python", "c" or "safetensors"; Unsupported is raised if safetensors is not installed
    target  a binary stream, to which the content is written
    """
    if kind in SOURCES:
        target.write(SOURCES[kind](described(load_model(model))).encode())
        return
    try:
        from safetensors.numpy import save
    except ImportError:
        raise Unsupported(
            "safetensors is not installed; get it with: pip install 'sparsebench[safetensors]'"
        ) from None
    found = Archive(model)
    arrays = {name: np.ascontiguousarray(array) for name, array in found.items()}
    texts = {name: array.tolist() for name, array in arrays.items() if array.dtype.kind in "US"}
    plain = {name: array for name, array in arrays.items() if name not in texts}
    target.write(save(plain, metadata={"facts": json.dumps(found.facts), **_spelt(texts)}))


def _spelt(texts: dict[str, list[str]]) -> dict[str, str]:
    """Lists of words as JSON text, because safetensors has no type for words."""
    return {name: json.dumps(values) for name, values in texts.items()}
