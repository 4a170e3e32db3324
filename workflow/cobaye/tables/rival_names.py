"""What readers call the rivals of one λ, by their names in the table `rivals`."""

NAMES = {
    "one": "one λ",
    "temperature": "temperature",
    "bias": "bias per class and temperature",
    "joint": "λ and temperature jointly",
    "mix": "mix of the heads of all λ",
    "stop": "early stopping",
    "stop-per-class": "early stopping per class",
    "logit-adjustment": "logit adjustment",
    "tau-normalized": "τ-normalised weights",
    "worst-tenth": "one λ for the worst tenth",
    "cvar": "one λ for the worst images",
    "class-size": "λ per class: by its size",
    "max-norm": "maximum norm of a class's weights",
    "val": "λ per class: lowest on val",
    "shrunk": "λ per class: shrunk",
    "hypergradient": "λ per class: hypergradient",
    "groups": "λ per group of classes",
    "refit": "one λ on train and val",
    "baseline": "the backbone's own head",
}
