"""The protocols of components. The conformance kit in `sparsebench.testing` checks them.

Letters: N batch, D inputs, K outputs of a layer. W is (K, D); activations are
neuron-major, (D, N), so that a neuron's batch is contiguous. float32 throughout.

A component is a frozen dataclass of its hyperparameters, so it can be printed, hashed and recorded.
Its state lives in the objects that it makes (a Layer, a Unit, a Network), or is passed in.
"""

from sparsebench.core.protocols.compiled_steps import (
    CompiledStep,
    MakesCompiledStep,
    TrainsManySteps,
)
from sparsebench.core.protocols.layers import (
    Backend,
    Layer,
    ScalesState,
    Shape,
    TakesCsr,
    ThroughLayer,
)
from sparsebench.core.protocols.networks import (
    Compacts,
    LayerSignals,
    Model,
    NamesLoss,
    Network,
    Observable,
)
from sparsebench.core.protocols.objectives import (
    ConstantGuess,
    Corruption,
    CorruptsInputs,
    Objective,
    Score,
    Targets,
)
from sparsebench.core.protocols.training import (
    Activation,
    HasMomentum,
    Initializer,
    Loss,
    Optimizer,
    Schedule,
    Unit,
    WeightedLoss,
)

__all__ = [
    "Activation",
    "Backend",
    "Compacts",
    "CompiledStep",
    "ConstantGuess",
    "Corruption",
    "CorruptsInputs",
    "HasMomentum",
    "Initializer",
    "Layer",
    "LayerSignals",
    "Loss",
    "MakesCompiledStep",
    "Model",
    "NamesLoss",
    "Network",
    "Objective",
    "Observable",
    "Optimizer",
    "ScalesState",
    "Schedule",
    "Score",
    "Shape",
    "TakesCsr",
    "Targets",
    "ThroughLayer",
    "TrainsManySteps",
    "Unit",
    "WeightedLoss",
]
