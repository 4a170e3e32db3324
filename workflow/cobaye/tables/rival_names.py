"""What readers call the rivals of one λ, by their names in the table `rivals`."""

NAMES = {
    "one": "one λ",
    "temperature": "temperature",
    "bias": "bias per class and temperature",
    "joint": "λ and temperature jointly",
    "mix": "mix of the heads of all λ",
    "stop": "early stopping",
    "stop-per-class": "early stopping per class",
    "val": "λ per class: lowest on val",
    "shrunk": "λ per class: shrunk",
    "hypergradient": "λ per class: hypergradient",
    "groups": "λ per group of classes",
    "clustered": "λ per cluster of classes",
    "predicted": "λ per class: predicted",
    "refit": "one λ on train and val",
    "baseline": "the backbone's own head",
}
