"""The built-in plugins. They enter by the same hooks as everyone's.

Only names stand here; what they name is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path

from sparsebench.hookspecs import AddFolder, AddMetric, Register, hookimpl

_HERE = "sparsebench_plugins"


@hookimpl
def register_backends(register: Register) -> None:
    register(
        "numba-csr",
        f"{_HERE}.backends.numba_csr:NumbaCsr",
        params=f"{_HERE}.backends.params:NumbaCsrParams",
        requires=("numba",),
        summary="truly sparse, numba kernels, backward and update in one pass",
    )
    register(
        "scipy-csr",
        f"{_HERE}.backends.scipy_csr:ScipyCsr",
        params=f"{_HERE}.backends.params:ScipyCsrParams",
        requires=("scipy",),
        summary="truly sparse, scipy's products and numpy",
    )
    register(
        "dense-mask",
        f"{_HERE}.backends.dense_mask:DenseMask",
        params=f"{_HERE}.backends.params:DenseMaskParams",
        summary="simulated sparsity: dense weights and a 0/1 mask",
    )


def _register(register: Register, kind: str, *rows: tuple[str, str, str, str]) -> None:
    """Register components of one folder.

    rows  name, "module:Class", class of its parameters (empty: the class itself), summary
    """
    for name, target, params, summary in rows:
        register(
            name,
            f"{_HERE}.{kind}.{target}",
            params=f"{_HERE}.{kind}.params:{params}" if params else None,
            summary=summary,
        )


@hookimpl
def register_models(register: Register) -> None:
    _register(
        register,
        "models",
        ("mlp", "mlp:MLP", "MlpParams", "multilayer perceptron"),
        ("autoencoder", "mlp:Autoencoder", "AutoencoderParams",
         "gives back its inputs: hidden layers, their mirror image, linear outputs"),
    )  # fmt: skip


@hookimpl
def register_topologies(register: Register) -> None:
    _register(
        register,
        "topologies",
        ("dense", "fixed:Dense", "DenseParams", "every position is a connection"),
        ("static", "fixed:Static", "AllocationParams", "a random topology, drawn once"),
        ("set", "methods:SET", "SetParams", "sparse evolutionary training (Mocanu et al. 2018)"),
        ("rigl", "methods:RigL", "RigLParams", "growth by the gradient (Evci et al. 2020)"),
        ("gse", "methods:Gse", "GseParams",
         "RigL among sampled positions, O(nnz) (Heddes et al. 2024)"),
        ("snfs", "methods:Snfs", "SnfsParams",
         "momentum growth and redistribution (Dettmers 2019)"),
        ("granet", "methods:GraNet", "GraNetParams",
         "gradual pruning with regeneration (Liu et al. 2021)"),
        ("dynamic", "methods:Dynamic", "MethodParams",
         "a method of the parts that the suite names"),
    )  # fmt: skip


@hookimpl
def register_allocations(register: Register) -> None:
    _register(
        register,
        "allocations",
        ("er", "parts:ErdosRenyi", "", "epsilon (K + D) connections in each layer"),
        ("erk", "parts:ErdosRenyiKernel", "", "a density, in proportion to 1/K + 1/D"),
        ("uniform", "parts:Uniform", "", "the same density in each layer"),
        ("explicit", "parts:Explicit", "", "a density for each layer"),
    )


@hookimpl
def register_drops(register: Register) -> None:
    _register(
        register,
        "drops",
        ("per-sign", "magnitudes:PerSign", "NoParams",
         "the weakest positive and the weakest negative weights"),
        ("magnitude", "magnitudes:Magnitude", "NoParams", "the smallest |w|"),
        ("random", "magnitudes:RandomDrop", "NoParams", "any"),
        ("soft-magnitude", "magnitudes:SoftMagnitude", "SoftMagnitudeParams",
         "at random, the smaller |w| the likelier (CHTs)"),
    )  # fmt: skip


@hookimpl
def register_grows(register: Register) -> None:
    _register(
        register,
        "grows",
        ("random", "at_random:RandomGrow", "NoParams", "free positions at random"),
        ("gradient", "gradient:GradientGrow", "NoParams", "the largest gradients (RigL)"),
        ("gse", "gse:GseGrow", "GseParams", "the largest gradients of a sample (GSE)"),
        ("momentum", "momentum:MomentumGrow", "MomentumParams", "smoothed gradients (SNFS)"),
    )


@hookimpl
def register_update_schedules(register: Register) -> None:
    _register(
        register,
        "update_schedules",
        ("constant", "schedules:Constant", "", "the same fraction at each update"),
        ("cosine", "schedules:Cosine", "", "the fraction falls to 0 as a cosine"),
        ("linear", "schedules:Linear", "", "the fraction falls to 0 as a line"),
    )


@hookimpl
def register_redistributions(register: Register) -> None:
    _register(
        register,
        "redistributions",
        ("none", "parts:Own", "NoParams", "each layer grows what it dropped"),
        ("momentum", "parts:ByMomentum", "NoParams", "by the mean momentum of the layers (SNFS)"),
        ("global", "parts:Ranked", "NoParams", "layers compete by score"),
    )


@hookimpl
def register_density_schedules(register: Register) -> None:
    _register(
        register,
        "density_schedules",
        ("constant", "schedules:Unchanging", "", "the same number of connections"),
        ("cubic", "schedules:Cubic", "", "falls as in gradual pruning (GMP, GraNet)"),
    )


@hookimpl
def register_prunings(register: Register) -> None:
    _register(
        register,
        "prunings",
        ("importance", "importance:Importance", "ImportanceParams",
         "hidden neurons with the least incoming weight go (Curci et al. 2021)"),
    )  # fmt: skip


@hookimpl
def register_activations(register: Register) -> None:
    _register(
        register,
        "activations",
        ("relu", "piecewise:ReLU", "NoParams", "max(z, 0)"),
        ("leaky-relu", "piecewise:LeakyReLU", "AlphaParams", "slope alpha below zero"),
        ("all-relu", "piecewise:AllReLU", "AllReluParams",
         "slope -alpha, +alpha, ... from layer to layer (Curci et al. 2021)"),
        ("identity", "piecewise:Identity", "NoParams", "z"),
        ("tanh", "smooth:Tanh", "NoParams", "tanh(z)"),
        ("sigmoid", "smooth:Sigmoid", "NoParams", "1 / (1 + exp(-z))"),
        ("srelu", "smooth:SReLU", "SReluParams", "trained thresholds and slopes (Jin et al.)"),
    )  # fmt: skip


@hookimpl
def register_initializers(register: Register) -> None:
    _register(
        register,
        "initializers",
        ("he-uniform", "values:HeUniform", "FanParams", "uniform within sqrt(6 / fan_in)"),
        ("xavier-uniform", "values:XavierUniform", "FanParams",
         "uniform within sqrt(6 / (in + out))"),
        ("normal", "values:Normal", "NormalParams", "normal, deviation 0.1"),
        ("zeros", "values:Zeros", "NoParams", "0"),
    )  # fmt: skip


@hookimpl
def register_losses(register: Register) -> None:
    _register(
        register,
        "losses",
        ("cross-entropy", "functions:CrossEntropy", "OfLabels",
         "softmax outputs, negative log-likelihood"),
        ("mse", "functions:SquaredError", "OfLabels",
         "sigmoid outputs, half the squared distance to the one-hot label"),
        ("squared-error", "vectors:LinearSquaredError", "OfVectors",
         "linear outputs, half the squared distance to the targets"),
        ("binary-cross-entropy", "vectors:BinaryCrossEntropy", "OfFlags",
         "sigmoid outputs, negative log-likelihood of labels that are 0 or 1 each"),
    )  # fmt: skip


@hookimpl
def register_objectives(register: Register) -> None:
    _register(
        register,
        "objectives",
        ("classification", "classification:Classification", "ClassificationParams",
         "one of several classes; accuracy"),
        ("regression", "numbers:Regression", "RegressionParams",
         "a number per sample; root mean squared error in its own units"),
        ("dense-output", "numbers:DenseOutput", "DenseOutputParams",
         "several numbers, or several labels that are 0 or 1, per sample"),
        ("reconstruction", "reconstruction:Reconstruction", "ReconstructionParams",
         "the inputs themselves, with noise on those in training if wanted"),
    )  # fmt: skip


@hookimpl
def register_optimizers(register: Register) -> None:
    _register(
        register,
        "optimizers",
        ("sgd", "rules:SGD", "SgdParams",
         "momentum, Nesterov, coupled or decoupled weight decay"),
        ("adam", "rules:Adam", "AdamParams", "Adam; with decay = decoupled AdamW"),
    )  # fmt: skip


@hookimpl
def register_schedules(register: Register) -> None:
    _register(
        register,
        "schedules",
        ("constant", "rates:Constant", "", "the rate as given"),
        ("step", "rates:Step", "", "times gamma after given epochs"),
        ("cosine", "rates:Cosine", "", "half a cosine down to `final`"),
        ("warm-up", "rates:WarmUp", "", "linear rise, then another schedule"),
    )


@hookimpl
def register_datasets(register: Register, data_dir: Path) -> None:
    from sparsebench_plugins.datasets import registration

    registration.register_all(register, data_dir)


@hookimpl
def register_observers(register: Register) -> None:
    _register(
        register,
        "observers",
        ("degrees", "degrees:Degrees", "DegreesParams",
         "in- and out-degrees of each layer: mean, max, histogram"),
        ("dead-neurons", "degrees:DeadNeurons", "DeadNeuronsParams",
         "hidden neurons with no way in or no way out"),
        ("input-connections", "degrees:InputConnections", "InputConnectionsParams",
         "connections to each input: histogram, percentiles, share of inputs without any"),
        ("itop", "itop:Itop", "ItopParams",
         "share of all positions ever tried, R_s (Liu et al. 2021)"),
    )  # fmt: skip


@hookimpl
def register_trainers(register: Register) -> None:
    register(
        "sequential",
        f"{_HERE}.trainers.sequential:Sequential",
        params=f"{_HERE}.trainers.params:SequentialParams",
        summary="one process, one batch after the other",
    )
    register(
        "calibration",
        f"{_HERE}.trainers.calibration:Calibration",
        params=f"{_HERE}.trainers.params:CalibrationParams",
        summary="takes a known amount of memory; for sparsebench doctor --calibrate",
    )


@hookimpl
def register_executors(register: Register) -> None:
    register(
        "local",
        f"{_HERE}.executors.local:Local",
        summary="a process of this machine per trial",
    )


@hookimpl
def register_metrics(add: AddMetric) -> None:
    from sparsebench_plugins.trainers.metrics import CALIBRATION

    for metric in CALIBRATION:
        add(metric)


@hookimpl
def register_suites(add_folder: AddFolder) -> None:
    """The suites beside the source tree, else those that travel in the wheel."""
    here = Path(__file__).resolve().parent
    beside = here.parent.parent / "suites"
    add_folder(beside if beside.is_dir() else here / "suites")
