"""The names of indicators in figures."""

from __future__ import annotations

# In the order in which they are drawn.
WORDS = {
    "cosine_distance": "cosine distance\nfrom the start",
    "norm_ratio": "‖w₀‖/‖wₙ‖",
    "projection": "ŵ₀·Δw/‖wₙ‖",
    "near_zero": "weights near zero\n(of the initial size)",
    "near_own_zero": "weights near zero\n(of their own size)",
    "pruned_random": "accuracy kept,\nrandom pruning",
    "pruned_magnitude": "accuracy kept,\nsmallest pruned",
    "zeros": "share of zeros in\nactivations",
    "off": "neurons that\nnever change",
    "always_active": "neurons always\nactive",
    "pair_information": "information of\npairs",
    "pair_information_below_one": "information of pairs,\nthose at 1 left out",
    "label_information": "information with\nlabels",
    "silhouette_euclidean": "silhouette\n(euclidean)",
    "silhouette_cosine": "silhouette\n(cosine)",
    "active_around_euclidean": "active neighbours\n(euclidean)",
    "active_around_cosine": "active neighbours\n(cosine)",
}
