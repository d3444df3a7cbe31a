"""A network that gives back its inputs."""

from __future__ import annotations

from sparsebench.core.protocols import Unit
from sparsebench_plugins.models.mlp import Layered
from sparsebench_plugins.models.params import AutoencoderParams


class Autoencoder(AutoencoderParams, Layered):
    """An encoder and its mirror image; n-1000-n with sigmoid and linear outputs is that of
    QuickSelection (Atashgahi et al. 2022, arXiv 2012.00560)."""

    def behind(self, outputs: int, number: int) -> list[Unit]:
        """Nothing where the outputs are linear."""
        if self.output.negative_slope(number) == 1:
            return []
        return [self.output.unit(number, outputs, None)]
