"""The chart of the number of connections of each pixel, in stored networks on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.analysis.kept_networks import most_frequent_setting, read_first_networks
from sparsebench.analysis.number_format import count, plural
from sparsebench.analysis.report_data import ReportData
from sparsebench.core.archive import Archive, BadArchive
from sparsebench.report.document import MOST_PANELS, Axis, Chart, Panel

MOST_PIXELS = 2**16

Image = npt.NDArray[np.int64]


def pixels(report_data: ReportData) -> Chart | None:
    """The connections of each pixel, with a panel for each topology in which pixels differ; None if
    there is none."""
    unread: list[str] = []
    found = [one for one in read_first_networks(report_data, _image, unread) if one[2] is not None]
    if not found:
        return None
    setting, notes = most_frequent_setting([setting for setting, _, _ in found])
    shown = []
    for of, topology, image in found:
        if of != setting or image is None:
            continue
        if image.min() == image.max():
            notes.append(f"Not drawn: {topology}, {count(image.max())} connections at each pixel.")
        else:
            shown.append((topology, image))
    if not shown:
        return None
    most = max(int(image.max()) for _, image in shown)
    panels = [
        Panel(topology, Axis(""), Axis("connections", limits=(0.0, max(1.0, float(most)))), (),
              260, image=image.tolist())
        for topology, image in shown[:MOST_PANELS]
    ]  # fmt: skip
    if len(shown) > MOST_PANELS:
        notes.append(f"The first {MOST_PANELS} of {len(shown)} panels.")
    if unread:
        notes.append(f"{plural(len(unread), 'network')} could not be read: {unread[0]}.")
    return Chart(
        "input-connectivity", "Connections of the pixels",
        "How many neurons of the first hidden layer each pixel of an image leads to after "
        "training, all channels together: of the first seed of each topology whose network was "
        "kept. All panels have the same scale.",
        panels, (), (), notes,
    )  # fmt: skip


def _image(archive: Archive) -> Image | None:
    """(height, width) the number of connections of each pixel; None if the inputs are no image."""
    stated = archive.facts.get("image")
    if not isinstance(stated, Mapping) or "W1.indices" not in archive:
        return None
    size = _checked(stated)
    columns = int(archive["W1.shape"][1])
    indices = archive["W1.indices"]
    if size is None or size[0] * size[1] * size[2] != columns or columns > MOST_PIXELS:
        return None
    if indices.dtype.kind not in "iu" or not (indices < columns).all() or (indices < 0).any():
        raise BadArchive(f"{archive.path.name}: layer 1 has connections outside its inputs")
    counts = np.bincount(indices, minlength=columns)
    order: Any = "F" if stated.get("order") == "F" else "C"
    image: Image = counts.reshape(size, order=order).sum(axis=2)
    return image


def _checked(stated: Mapping[str, Any]) -> tuple[int, int, int] | None:
    size = [stated.get(name) for name in ("height", "width", "channels")]
    if not all(type(one) is int and one > 0 for one in size):
        return None
    height, width, channels = (int(str(one)) for one in size)
    return height, width, channels
