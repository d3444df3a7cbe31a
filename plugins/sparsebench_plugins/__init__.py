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


@hookimpl
def register_models(register: Register) -> None:
    register(
        "mlp",
        f"{_HERE}.models.mlp:MLP",
        params=f"{_HERE}.models.params:MlpParams",
        summary="multilayer perceptron",
    )
    register(
        "autoencoder",
        f"{_HERE}.models.autoencoder:Autoencoder",
        params=f"{_HERE}.models.params:AutoencoderParams",
        summary="gives back its inputs: hidden layers, their mirror image, linear outputs",
    )


@hookimpl
def register_topologies(register: Register) -> None:
    for name, cls, summary in (
        ("dense", "fixed:Dense", "every position is a connection"),
        ("static", "fixed:Static", "a random topology, drawn once"),
        ("set", "methods:SET", "sparse evolutionary training (Mocanu et al. 2018)"),
        ("rigl", "methods:RigL", "growth by the gradient (Evci et al. 2020)"),
        ("gse", "methods:Gse", "RigL among sampled positions, O(nnz) (Heddes et al. 2024)"),
        ("snfs", "methods:Snfs", "momentum growth and redistribution (Dettmers 2019)"),
        ("granet", "methods:GraNet", "gradual pruning with regeneration (Liu et al. 2021)"),
        ("dynamic", "methods:Dynamic", "a method of the parts that the suite names"),
    ):
        short = cls.partition(":")[2]
        params = {"SET": "Set", "Dynamic": "Method", "Static": "Allocation"}.get(short, short)
        register(
            name,
            f"{_HERE}.topologies.{cls}",
            params=f"{_HERE}.topologies.params:{params}Params",
            summary=summary,
        )


@hookimpl
def register_allocations(register: Register) -> None:
    where = f"{_HERE}.allocations.parts"
    register("er", f"{where}:ErdosRenyi", summary="epsilon (K + D) connections in each layer")
    register("erk", f"{where}:ErdosRenyiKernel", summary="a density, in proportion to 1/K + 1/D")
    register("uniform", f"{where}:Uniform", summary="the same density in each layer")
    register("explicit", f"{where}:Explicit", summary="a density for each layer")


@hookimpl
def register_drops(register: Register) -> None:
    where = f"{_HERE}.drops"
    none = f"{where}.params:NoParams"
    for name, cls, params, summary in (
        ("per-sign", "PerSign", none, "the weakest positive and the weakest negative weights"),
        ("magnitude", "Magnitude", none, "the smallest |w|"),
        ("random", "RandomDrop", none, "any"),
        ("soft-magnitude", "SoftMagnitude", f"{where}.params:SoftMagnitudeParams",
         "at random, the smaller |w| the likelier (CHTs)"),
    ):  # fmt: skip
        register(name, f"{where}.magnitudes:{cls}", params=params, summary=summary)


@hookimpl
def register_grows(register: Register) -> None:
    where = f"{_HERE}.grows"
    for name, cls, params, summary in (
        ("random", "at_random:RandomGrow", "NoParams", "free positions at random"),
        ("gradient", "gradient:GradientGrow", "NoParams", "the largest gradients (RigL)"),
        ("gse", "gse:GseGrow", "GseParams", "the largest gradients of a sample (GSE)"),
        ("momentum", "momentum:MomentumGrow", "MomentumParams", "smoothed gradients (SNFS)"),
    ):
        register(name, f"{where}.{cls}", params=f"{where}.params:{params}", summary=summary)


@hookimpl
def register_update_schedules(register: Register) -> None:
    where = f"{_HERE}.update_schedules.schedules"
    register("constant", f"{where}:Constant", summary="the same fraction at each update")
    register("cosine", f"{where}:Cosine", summary="the fraction falls to 0 as a cosine")
    register("linear", f"{where}:Linear", summary="the fraction falls to 0 as a line")


@hookimpl
def register_redistributions(register: Register) -> None:
    where = f"{_HERE}.redistributions"
    none = f"{where}.params:NoParams"
    for name, cls, summary in (
        ("none", "Own", "each layer grows what it dropped"),
        ("momentum", "ByMomentum", "by the mean momentum of the layers (SNFS)"),
        ("global", "Ranked", "layers compete by score"),
    ):
        register(name, f"{where}.parts:{cls}", params=none, summary=summary)


@hookimpl
def register_density_schedules(register: Register) -> None:
    where = f"{_HERE}.density_schedules.schedules"
    register("constant", f"{where}:Unchanging", summary="the same number of connections")
    register("cubic", f"{where}:Cubic", summary="falls as in gradual pruning (GMP, GraNet)")


@hookimpl
def register_prunings(register: Register) -> None:
    register(
        "importance",
        f"{_HERE}.prunings.importance:Importance",
        params=f"{_HERE}.prunings.params:ImportanceParams",
        summary="hidden neurons with the least incoming weight go (Curci et al. 2021)",
    )


@hookimpl
def register_activations(register: Register) -> None:
    params = f"{_HERE}.activations.params"
    for name, where, parameters, summary in (
        ("relu", "piecewise:ReLU", "NoParams", "max(z, 0)"),
        ("leaky-relu", "piecewise:LeakyReLU", "AlphaParams", "slope alpha below zero"),
        (
            "all-relu",
            "piecewise:AllReLU",
            "AllReluParams",
            "slope -alpha, +alpha, ... from layer to layer (Curci et al. 2021)",
        ),
        ("identity", "piecewise:Identity", "NoParams", "z"),
        ("tanh", "smooth:Tanh", "NoParams", "tanh(z)"),
        ("sigmoid", "smooth:Sigmoid", "NoParams", "1 / (1 + exp(-z))"),
        ("srelu", "smooth:SReLU", "SReluParams", "trained thresholds and slopes (Jin et al.)"),
    ):
        register(
            name,
            f"{_HERE}.activations.{where}",
            params=f"{params}:{parameters}",
            summary=summary,
        )


@hookimpl
def register_initializers(register: Register) -> None:
    params = f"{_HERE}.initializers.params"
    for name, cls, parameters, summary in (
        ("he-uniform", "HeUniform", "FanParams", "uniform within sqrt(6 / fan_in)"),
        ("xavier-uniform", "XavierUniform", "FanParams", "uniform within sqrt(6 / (in + out))"),
        ("normal", "Normal", "NormalParams", "normal, deviation 0.1"),
        ("zeros", "Zeros", "NoParams", "0"),
    ):
        register(
            name,
            f"{_HERE}.initializers.values:{cls}",
            params=f"{params}:{parameters}",
            summary=summary,
        )


@hookimpl
def register_losses(register: Register) -> None:
    for name, where, params, summary in (
        (
            "cross-entropy",
            "functions:CrossEntropy",
            "OfLabels",
            "softmax outputs, negative log-likelihood",
        ),
        (
            "mse",
            "functions:SquaredError",
            "OfLabels",
            "sigmoid outputs, half the squared distance to the one-hot label",
        ),
        (
            "squared-error",
            "vectors:LinearSquaredError",
            "OfVectors",
            "linear outputs, half the squared distance to the targets",
        ),
        (
            "binary-cross-entropy",
            "vectors:BinaryCrossEntropy",
            "OfFlags",
            "sigmoid outputs, negative log-likelihood of labels that are 0 or 1 each",
        ),
    ):
        register(
            name,
            f"{_HERE}.losses.{where}",
            params=f"{_HERE}.losses.params:{params}",
            summary=summary,
        )


@hookimpl
def register_objectives(register: Register) -> None:
    params = f"{_HERE}.objectives.params"
    for name, where, parameters, summary in (
        (
            "classification",
            "classification:Classification",
            "ClassificationParams",
            "one of several classes; accuracy",
        ),
        (
            "regression",
            "numbers:Regression",
            "RegressionParams",
            "a number per sample; root mean squared error in its own units",
        ),
        (
            "dense-output",
            "numbers:DenseOutput",
            "DenseOutputParams",
            "several numbers, or several labels that are 0 or 1, per sample",
        ),
        (
            "reconstruction",
            "reconstruction:Reconstruction",
            "ReconstructionParams",
            "the inputs themselves, with noise on those in training if wanted",
        ),
    ):
        register(
            name,
            f"{_HERE}.objectives.{where}",
            params=f"{params}:{parameters}",
            summary=summary,
        )


@hookimpl
def register_optimizers(register: Register) -> None:
    params = f"{_HERE}.optimizers.params"
    register(
        "sgd",
        f"{_HERE}.optimizers.rules:SGD",
        params=f"{params}:SgdParams",
        summary="momentum, Nesterov, coupled or decoupled weight decay",
    )
    register(
        "adam",
        f"{_HERE}.optimizers.rules:Adam",
        params=f"{params}:AdamParams",
        summary="Adam; with decay = decoupled AdamW",
    )


@hookimpl
def register_schedules(register: Register) -> None:
    where = f"{_HERE}.schedules.rates"
    register("constant", f"{where}:Constant", summary="the rate as given")
    register("step", f"{where}:Step", summary="times gamma after given epochs")
    register("cosine", f"{where}:Cosine", summary="half a cosine down to `final`")
    register("warm-up", f"{where}:WarmUp", summary="linear rise, then another schedule")


@hookimpl
def register_datasets(register: Register, data_dir: Path) -> None:
    from sparsebench_plugins.datasets import registration

    registration.register_all(register, data_dir)


@hookimpl
def register_observers(register: Register) -> None:
    params = f"{_HERE}.observers.params"
    for name, where, summary in (
        ("degrees", "degrees:Degrees", "in- and out-degrees of each layer: mean, max, histogram"),
        ("dead-neurons", "degrees:DeadNeurons", "hidden neurons with no way in or no way out"),
        (
            "input-connections",
            "degrees:InputConnections",
            "connections to each input: histogram, percentiles, share of inputs without any",
        ),
        ("itop", "itop:Itop", "share of all positions ever tried, R_s (Liu et al. 2021)"),
    ):
        cls = where.partition(":")[2]
        register(
            name,
            f"{_HERE}.observers.{where}",
            params=f"{params}:{cls}Params",
            summary=summary,
        )


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
