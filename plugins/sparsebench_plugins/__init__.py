"""Registers the built-in plugins, by the same hooks as those of third parties.

This file has only names; modules are imported when a component is used. A component's class is in a
module that imports nothing heavy, or it names a parameter class in such a module.
"""

from __future__ import annotations

from pathlib import Path

from sparsebench.hookspecs import AddFolder, AddMetric, AddSection, Register, hookimpl

HERE = "sparsebench_plugins"


def _register(register: Register, module: str, *rows: tuple[str, ...]) -> None:
    """Register components that are in one module or package of `sparsebench_plugins`.

    rows  (name, target, summary) or (name, target, summary, parameter class) of each component.
          The target is "Class" if `module` is a module, "module:Class" if it is a package. The
          parameter class, as "module:Class", is given if it is not the target itself.
    """
    for name, target, summary, *params in rows:
        place = f"{HERE}.{module}{'.' if ':' in target else ':'}"
        register(
            name,
            place + target,
            params=f"{HERE}.{params[0]}" if params else None,
            summary=summary,
        )


@hookimpl
def register_backends(register: Register) -> None:
    for name, target, params, requires, summary in (
        ("numba-csr", "numba_csr:NumbaCsr", "NumbaCsrParams", ("numba",),
         "truly sparse, numba kernels, backward and update in one pass"),
        ("scipy-csr", "scipy_csr:ScipyCsr", "ScipyCsrParams", ("scipy",),
         "truly sparse, scipy's products and numpy"),
        ("dense-mask", "dense_mask:DenseMask", "DenseMaskParams", (),
         "simulated sparsity: dense weights and a 0/1 mask"),
    ):  # fmt: skip
        register(
            name,
            f"{HERE}.backends.{target}",
            params=f"{HERE}.backends.params:{params}",
            requires=requires,
            summary=summary,
        )


@hookimpl
def register_models(register: Register) -> None:
    _register(
        register,
        "models",
        ("mlp", "MLP", "multilayer perceptron"),
        ("autoencoder", "Autoencoder",
         "gives back its inputs: hidden layers, their mirror image, linear outputs"),
        ("rbm", "Rbm", "restricted Boltzmann machine, contrastive divergence"),
    )  # fmt: skip
    _register(
        register, "graph_challenge",
        ("graph-challenge", "model:EqualLayers", "equal layers of capped ReLU, for inference"),
    )  # fmt: skip


@hookimpl
def register_topologies(register: Register) -> None:
    _register(
        register,
        "topologies",
        ("dense", "dynamic:Dense", "every position is a connection"),
        ("static", "dynamic:Static", "a random topology, drawn once"),
        ("dynamic", "dynamic:Dynamic", "a method of the parts that the suite names"),
        ("set", "methods:SET", "sparse evolutionary training (Mocanu et al. 2018)"),
        ("rigl", "methods:RigL", "growth by the gradient (Evci et al. 2020)"),
        ("gse", "gse:Gse", "RigL among sampled positions, O(nnz) (Heddes et al. 2024)"),
        ("snfs", "snfs:Snfs", "momentum growth and redistribution (Dettmers 2019)"),
        ("set-itop", "methods:SetItop", "SET with long stretches (Liu et al. 2021)"),
        ("rigl-itop", "methods:RigLItop", "RigL with long stretches (Liu et al. 2021)"),
        ("mest", "methods:MEST", "drop by |w| and |g| (Yuan et al. 2021)"),
        ("gmp", "methods:GMP", "gradual magnitude pruning from a full network (Zhu 2017)"),
        (
            "magnitude-pruning",
            "methods:MagnitudePruning",
            "a full network, pruned once or in rounds (Frankle and Carbin 2019)",
        ),
        ("pals", "methods:PALS", "prunes or grows by the validation loss (Atashgahi et al. 2023)"),
        ("ctre-sim", "ctre:CtreSim", "growth by cosine of activations (Atashgahi et al. 2022)"),
        ("ctre-seq", "ctre:CtreSeq", "the same, later at random (Atashgahi et al. 2022)"),
        ("wast", "wast:Wast", "by importance of neurons (Sokar et al. 2022)"),
        ("neurofs", "neurofs:NeuroFS", "inputs go and come (Atashgahi et al. 2023)"),
        ("srigl", "srigl:SRigL", "RigL with the same fan-in for all (Lasby et al. 2023)"),
        ("acdc", "methods:ACDC", "full and sparse phases in turn (Peste et al. 2021)"),
        ("ch3-l3", "cht:CHT", "Cannistraci-Hebb training (Zhang et al. 2024)"),
        ("chts", "cht:CHTs", "the same with soft rules (Zhang et al. 2025)"),
        ("chtss", "cht:CHTss", "chts with a falling density (Zhang et al. 2025)"),
        ("granet", "methods:GraNet", "gradual pruning with regeneration (Liu et al. 2021)"),
    )

    _register(
        register,
        "graph_challenge",
        ("radix-net", "radix_net:RadixNet", "fixed, in blocks of layers (Robinett 2019)"),
    )
    _register(
        register,
        "parametrisations",
        ("dst-thresholds", "DstThresholds", "trained thresholds (Liu et al. 2020)"),
        ("top-kast", "TopKast", "more is trained than is seen (Jayakumar et al. 2021)"),
    )
    _register(
        register,
        "saliency",
        ("snip", "SnipTopology", "static, the largest |w g| (Lee et al. 2019)"),
        ("grasp", "GraspTopology", "static, keeps the gradient's norm (Wang et al. 2020)"),
        ("synflow", "SynFlowTopology", "static, where most flows (Tanaka et al. 2020)"),
    )


@hookimpl
def register_allocations(register: Register) -> None:
    _register(
        register,
        "allocations",
        ("er", "ErdosRenyi", "epsilon (K + D) connections in each layer"),
        ("erk", "ErdosRenyiKernel", "a density, in proportion to 1/K + 1/D"),
        ("uniform", "Uniform", "the same density in each layer"),
        ("explicit", "Explicit", "a density for each layer"),
    )
    _register(
        register,
        "placements",
        ("csti", "Csti", "where inputs correlate (CHT)"),
        ("receptive-field", "ReceptiveField", "the nearer on a ring, the likelier (CHTs)"),
        ("constant-fan-in", "ConstantFanIn", "as many connections into each neuron (SRigL)"),
        ("small-world", "SmallWorld", "a band on a ring, partly rewired (Watts and Strogatz)"),
        ("scale-free", "ScaleFree", "degrees of a power law on both sides"),
    )
    _register(
        register,
        "saliency",
        ("snip", "Snip", "the largest |w g| of a full network (Lee et al. 2019)"),
        ("grasp", "Grasp", "what keeps the gradient's norm (Wang et al. 2020)"),
        ("synflow", "SynFlow", "where most flows, without data (Tanaka et al. 2020)"),
    )


@hookimpl
def register_drops(register: Register) -> None:
    _register(
        register,
        "drops",
        ("per-sign", "PerSign", "the weakest positive and the weakest negative weights"),
        ("magnitude", "Magnitude", "the smallest |w|"),
        ("random", "RandomDrop", "any"),
        ("threshold", "Threshold", "all |w| below a number, up to zeta of them"),
        (
            "relative-importance",
            "RelativeImportance",
            "the smallest |w| relative to those of both neurons (CHT)",
        ),
        ("mest", "Mest", "the smallest |w| + gamma |g| (MEST)"),
        ("snip", "Snip", "the smallest |w g| (SNIP)"),
        ("sensitivity", "Sensitivity", "the smallest |g| / |w|, or |w| / |g|"),
        ("soft-magnitude", "SoftMagnitude", "at random, the smaller |w| the likelier (CHTs)"),
    )
    _register(
        register,
        "topologies",
        (
            "neuron-importance",
            "wast:ImportanceDrop",
            "the smallest |w| times the importance of both neurons (WAST)",
        ),
    )


@hookimpl
def register_grows(register: Register) -> None:
    _register(
        register,
        "grows",
        ("random", "RandomGrow", "free positions at random"),
        ("gradient", "GradientGrow", "the largest gradients (RigL)"),
    )
    _register(
        register,
        "topologies",
        ("gse", "gse:GseGrow", "the largest gradients of a sample (GSE)"),
        ("momentum", "snfs:MomentumGrow", "smoothed gradients (SNFS)"),
        ("cosine", "ctre:CosineGrow", "where activations are alike, some at random (CTRE sim)"),
        (
            "cosine-then-random",
            "ctre:CosineThenRandom",
            "where activations are alike, later at random (CTRE seq)",
        ),
        ("neuron-importance", "wast:ImportanceGrow", "between important neurons (WAST)"),
        ("ch3-l3", "cht:Ch3L3", "link prediction by paths of length 3 (CHT)"),
        ("ch2-l3", "cht:Ch2L3", "the same from pairs of neurons, faster (CHTs)"),
        ("ch2-l3-soft", "cht:SoftCh2L3", "drawn in proportion to ch2-l3 (CHTs)"),
    )


@hookimpl
def register_update_schedules(register: Register) -> None:
    _register(
        register,
        "update_schedules",
        ("constant", "Constant", "the same fraction at each update"),
        ("cosine", "Cosine", "the fraction falls to 0 as a cosine"),
        ("linear", "Linear", "the fraction falls to 0 as a line"),
    )


@hookimpl
def register_redistributions(register: Register) -> None:
    _register(
        register,
        "redistributions",
        ("none", "Own", "each layer grows what it dropped"),
        ("momentum", "ByMomentum", "by the mean momentum of the layers (SNFS)"),
        ("global", "Ranked", "layers compete by score"),
    )


@hookimpl
def register_density_schedules(register: Register) -> None:
    _register(
        register,
        "density_schedules",
        ("constant", "Unchanging", "the same number of connections"),
        ("cubic", "Cubic", "falls as in gradual pruning (GMP, GraNet)"),
        ("cubic-from-dense", "FromDense", "cubic, from a full network on (GMP)"),
        ("sigmoid", "Sigmoid", "falls as a logistic function (CHTss)"),
        ("rounds", "Rounds", "falls at once or in rounds (one-shot, iterative pruning)"),
        ("full-and-sparse", "FullAndSparse", "full and sparse phases in turn (AC/DC)"),
        ("pals", "Pals", "falls and rises by the validation loss (PALS)"),
    )


@hookimpl
def register_prunings(register: Register) -> None:
    _register(
        register,
        "prunings",
        ("importance", "Importance",
         "hidden neurons with the least incoming weight go (Curci et al. 2021)"),
        ("neurons", "Neurons", "about half of the hidden neurons go (Liu et al. 2019)"),
    )  # fmt: skip


@hookimpl
def register_activations(register: Register) -> None:
    _register(
        register,
        "activations",
        ("relu", "ReLU", "max(z, 0)"),
        ("leaky-relu", "LeakyReLU", "slope alpha below zero"),
        (
            "all-relu",
            "AllReLU",
            "slope -alpha, +alpha, ... by layer (Curci et al. 2021)",
        ),
        ("identity", "Identity", "z"),
        ("tanh", "Tanh", "tanh(z)"),
        ("sigmoid", "Sigmoid", "1 / (1 + exp(-z))"),
        ("srelu", "SReLU", "trained thresholds and slopes (Jin et al.)"),
    )


@hookimpl
def register_initializers(register: Register) -> None:
    _register(
        register,
        "initializers",
        ("he-uniform", "HeUniform", "uniform within sqrt(6 / fan_in)"),
        ("xavier-uniform", "XavierUniform", "uniform within sqrt(6 / (in + out))"),
        ("normal", "Normal", "normal, deviation 0.1"),
        ("zeros", "Zeros", "0"),
        ("swi", "SparseWeights", "normal, variance 2 / sparse fan_in (CHT)"),
        ("last", "LastValue", "grown connections: their last weight, else 0 (CHTs)"),
    )


@hookimpl
def register_losses(register: Register) -> None:
    params = "loss_targets:"
    _register(
        register,
        "losses",
        ("cross-entropy", "CrossEntropy",
         "softmax outputs, negative log-likelihood", params + "OfLabels"),
        ("mse", "SquaredError",
         "sigmoid outputs, half the squared distance to the one-hot label", params + "OfLabels"),
        ("squared-error", "LinearSquaredError",
         "linear outputs, half the squared distance to the targets", params + "OfVectors"),
        ("binary-cross-entropy", "BinaryCrossEntropy",
         "sigmoid outputs, negative log-likelihood of labels that are 0 or 1 each",
         params + "OfFlags"),
        ("flag-squared-error", "FlagSquaredError",
         "sigmoid outputs, half the squared distance to labels that are 0 or 1 each",
         params + "OfFlags"),
    )  # fmt: skip


@hookimpl
def register_objectives(register: Register) -> None:
    params = "objectives.params:"
    _register(
        register,
        "objectives",
        ("classification", "classification:Classification",
         "one of several classes; accuracy", params + "ClassificationParams"),
        ("regression", "regression:Regression",
         "a number per sample; root mean squared error in its own units",
         params + "RegressionParams"),
        ("dense-output", "regression:DenseOutput",
         "several numbers, or several labels that are 0 or 1, per sample",
         params + "DenseOutputParams"),
        ("reconstruction", "reconstruction:Reconstruction",
         "the inputs themselves, with noise on those in training if wanted",
         params + "ReconstructionParams"),
    )  # fmt: skip


@hookimpl
def register_optimizers(register: Register) -> None:
    _register(
        register,
        "optimizers",
        ("sgd", "SGD", "momentum, Nesterov, coupled or decoupled weight decay"),
        ("adam", "Adam", "Adam; with decay = decoupled AdamW"),
        ("powerprop", "PowerProp", "SGD on a power of the weights (Schwarz et al. 2021)"),
        ("linbreg", "LinBreg", "linearised Bregman steps: weights become 0 (Bungert et al. 2022)"),
        ("adabreg", "AdaBreg", "the same with Adam's steps (Bungert et al. 2022)"),
        ("adam-by-age", "AdamByAge", "Adam that counts each connection's own steps (SMET)"),
    )


@hookimpl
def register_schedules(register: Register) -> None:
    _register(
        register,
        "learning_rate_schedules",
        ("constant", "Constant", "the rate as given"),
        ("step", "Step", "times gamma after given epochs"),
        ("cosine", "Cosine", "half a cosine down to `final`"),
        ("linear", "Linear", "a line down to `final`"),
        ("warm-up", "WarmUp", "linear rise, then another schedule"),
    )


@hookimpl
def register_datasets(register: Register, data_dir: Path) -> None:
    from sparsebench_plugins.datasets import registration

    registration.register_all(register, data_dir)


@hookimpl
def register_observers(register: Register) -> None:
    params = "observers.params:"
    _register(
        register,
        "observers",
        ("degrees", "degrees:Degrees",
         "in- and out-degrees of each layer: mean, max, histogram", params + "DegreesParams"),
        ("dead-neurons", "degrees:DeadNeurons",
         "hidden neurons with no way in or no way out", params + "DeadNeuronsParams"),
        ("input-connections", "degrees:InputConnections",
         "connections to each input: histogram, percentiles, share of inputs without any",
         params + "InputConnectionsParams"),
        ("active-neurons", "paths:ActiveNeurons",
         "hidden neurons on a path from inputs to outputs", params + "ActiveNeuronsParams"),
        ("nonzero-weights", "paths:NonzeroWeights",
         "weights that are not 0", params + "NonzeroWeightsParams"),
        ("paths", "paths:Paths", "paths from inputs to outputs", params + "PathsParams"),
        ("power-law", "paths:PowerLaw",
         "whether degrees follow a power law (Clauset et al. 2009)", params + "PowerLawParams"),
        ("overlap", "paths:Overlap",
         "connections kept since the last epoch and the start", params + "OverlapParams"),
        ("topology-distance", "distance:TopologyDistance",
         "how far the topology is from the first (NNSTD, Liu et al. 2020)",
         params + "TopologyDistanceParams"),
        ("itop", "itop:Itop",
         "share of all positions ever tried, R_s (Liu et al. 2021)", params + "ItopParams"),
    )  # fmt: skip


@hookimpl
def register_trainers(register: Register) -> None:
    _register(
        register, "sequential",
        ("sequential", "Sequential", "one process, one batch after the other"),
    )  # fmt: skip
    _register(
        register, "ensembles",
        ("free-tickets", "trainers:FreeTickets",
         "an ensemble from one sparse training (Liu et al. 2022)"),
        ("tse", "trainers:Tse", "truly sparse ensembles (van der Wal et al. 2025)"),
        ("sup-tickets", "trainers:SupTickets",
         "the average of the last copies of one training (Yin et al. 2022)"),
        ("neurotrails", "trainers:NeuroTrails",
         "an ensemble of heads on a shared trunk (Grooten et al. 2025)"),
    )  # fmt: skip
    for name, target, summary in (
        ("logistic-regression", "LogisticRegression", "no network: scikit-learn's, for labels"),
        ("ridge-regression", "RidgeRegression", "no network: scikit-learn's, for numbers"),
        ("gradient-boosting", "GradientBoosting", "no network: scikit-learn's boosted trees"),
    ):
        place = f"{HERE}.sklearn_trainers.trainers:{target}"
        register(name, place, requires=("sklearn",), summary=summary)
    _register(
        register, "feature_selection",
        ("feature-selection", "trainer:FeatureSelection",
         "selects features by a network's inputs, judged by other classifiers"),
        ("chi-square", "without_network:ChiSquare",
         "no network: selects features by scikit-learn's chi2"),
    )  # fmt: skip
    _register(
        register, "graph_challenge",
        ("graph-challenge", "trainer:GraphChallengeInference",
         "no training: inference through the networks of the Graph Challenge"),
    )  # fmt: skip
    _register(
        register, "calibration",
        ("calibration", "Calibration",
         "takes a known amount of memory; for sparsebench doctor --calibrate"),
    )  # fmt: skip


@hookimpl
def register_executors(register: Register) -> None:
    _register(register, "executors", ("local", "Local", "a process of this machine per trial"))


@hookimpl
def register_metrics(add: AddMetric) -> None:
    from sparsebench_plugins.calibration import METRIC
    from sparsebench_plugins.ensembles.trainers import METRICS
    from sparsebench_plugins.feature_selection.trainer import METRICS as OF_SELECTIONS
    from sparsebench_plugins.graph_challenge.trainer import METRICS as OF_INFERENCE

    for metric in (METRIC, *METRICS, *OF_INFERENCE, *OF_SELECTIONS):
        add(metric)


@hookimpl
def register_report_sections(add: AddSection) -> None:
    place = f"{HERE}.graph_challenge.report_section:section"
    add("Inference", place, place="before")


@hookimpl
def register_suites(add_folder: AddFolder) -> None:
    """Register the suites of the source tree, or else those in the wheel."""
    here = Path(__file__).resolve().parent
    beside = here.parent.parent / "suites"
    add_folder(beside if beside.is_dir() else here / "suites")
