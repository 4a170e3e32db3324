"""Size, coverage and power of every interval, probability and test that a study publishes.

Losses whose truth is known are drawn again and again; the functions of `cobaye.statistics` judge
each draw as the analysis `classes` does. Truths: no effect of λ; one curve for all classes; curves
of one shape with amplitudes of their own; curves with optima of their own. Noise: normal or
lognormal, of one spread and size per class or of unequal ones; or the residuals of finished
runs (``--residuals``), resampled within each class, about a planted truth.

    python benchmarks/calibration.py [--draws 50] [--long] [--residuals results/…/linear/sgd]

The long form adds all that fits the shrunk curves anew, other classes, and K = 1,000. A number
followed by ! breaks its limit (size 7 % of nominal 5, coverage 92 % of nominal 95) by more than the
draws allow (binomial test, 1 %).
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing

import numpy as np
from _common import machine, table
from _losses import TRUTHS, Scenario, World, world
from scipy import stats

from cobaye.randomness import derived_seed
from cobaye.statistics import chance, choices, compared, effects, reliability, shrinkage

# Bootstrap draws within one draw of losses: fewer than a study's, for time.
INNER, REFITS = 99, 50


def judged(scenario: Scenario, drawn: World, rng: np.random.Generator) -> dict[str, float]:
    """Return what is published of one draw: 1 where a test rejects or an interval covers, by name.

    Names end in what they are: "size", "power" or "cover".
    """
    val, test = (drawn.sample(rng, scenario.noise) for _ in range(2))
    reference = int(reliability.lowest(val.values.mean(axis=0)))
    differences, truth = test.relative_to(reference), drawn.truth - drawn.truth[:, [reference]]
    others = np.delete(np.arange(truth.shape[1]), reference)
    place = TRUTHS.index(scenario.truth)
    alike = "size" if place < 2 else "power"
    between = effects.between_classes(differences, 2 * INNER, rng)
    common = effects.common_curve_test(differences, INNER, rng)
    fdr, holm = effects.adjusted(effects.class_p_values(differences)[:, others])
    found = {
        f"variance between > 0, {alike}": between.p <= 0.05,
        f"common curve, {alike}": common.overall <= 0.05,
        "class t, cover": covered(effects.class_means(differences), truth, others),
    }
    if place < 2:
        found |= {"BH names, size": (fdr[:, 0] <= 0.05).any()}
        found |= {"Holm names, size": (holm[:, 0] <= 0.05).any()}
    for name, own in (("one curve", False), ("one shape", True)):
        null = chance.null_counts(test, reference, INNER, rng, own_amplitudes=own)
        kind = "size" if place < 2 + own else "power"
        found[f"more than {name}, {kind}"] = null.observed[reference] < null.expected.low[reference]
    chosen = choices.chosen_per_class(val.means, reference)
    gain = -(test.counts @ truth[np.arange(len(truth)), chosen]) / test.counts.sum()
    found["gain given choices, cover"] = inside(choices.gain(test, reference, chosen), gain)
    pair = test.with_values(test.values[:, [reference, others[0]]])
    beside = compared.compare(pair, pair, INNER, rng).differences["loss"]
    rise = test.counts @ truth[:, others[0]] / test.counts.sum()
    ends = effects.Interval(beside.estimate[1], beside.low[1], beside.high[1])
    found["beside one λ, cover"] = inside(ends, rise)
    return {name: float(value) for name, value in found.items()}


@functools.cache
def population(truth: str) -> np.ndarray:
    """Return the variances between all classes of a truth of the differences from the first λ."""
    many = world(Scenario(100_000, 4, "normal", False, truth), np.random.default_rng(1)).truth
    variances = (many - many[:, [0]])[:, 1:].var(axis=0)
    return np.where(variances > 1e-20, variances, 0)  # rounding, where all classes are alike


def over_classes(scenario: Scenario, drawn: World, rng: np.random.Generator) -> dict[str, float]:
    """Return whether the interval of the variance between classes holds that of all classes."""
    if drawn.pool is not None:
        return {}
    differences, truth = (
        drawn.sample(rng, scenario.noise).relative_to(0),
        population(scenario.truth),
    )
    found = effects.between_classes(differences, 2 * INNER, rng).variance
    # As published: as a standard deviation, cut at 0.
    inside = (found.low[1:] <= truth) & (truth <= np.maximum(found.high[1:], 0))
    return {"variance between, cover": float(inside.mean())}


def refitted(scenario: Scenario, drawn: World, rng: np.random.Generator) -> dict[str, float]:
    """Return what is published of the shrunk curves of one draw, as `judged` does."""
    test = drawn.sample(rng, scenario.noise)
    reference = int(reliability.lowest(test.values.mean(axis=0)))
    truth = drawn.truth - drawn.truth[:, [reference]]
    others = np.delete(np.arange(truth.shape[1]), reference)
    shrunk = shrinkage.shrink(test.relative_to(reference), reference, REFITS, rng)
    lower, higher = shrunk.sure(others)
    true = truth[:, others]
    wrong = (lower & (true >= 0)) | (higher & (true <= 0))
    better = shrunk.better()[:, others]
    found = {
        "shrunk curve, cover": covered(shrunk.interval(), truth, others),
        "surely, any wrong, size": wrong.any(),
        "surely, any of one λ, size": wrong[:, 0].any(),
    }
    if scenario.truth != "none":
        found["surely, share of classes"] = (lower | higher)[:, 0].mean()
        claimed = better > 0.9
        if claimed.any():
            found["P > 0.9 less what happens"] = (better - (true < 0))[claimed].mean()
    return {name: float(value) for name, value in found.items()}


def procedures(scenario: Scenario, drawn: World, rng: np.random.Generator) -> dict[str, tuple]:
    """Return each gain and its reach over other images and over other classes, of one draw."""
    val, test = (drawn.sample(rng, scenario.noise) for _ in range(2))
    reference = int(reliability.lowest(val.values.mean(axis=0)))
    curves = shrinkage.curves(val.relative_to(reference), reference)
    places = {
        "honest": choices.chosen_per_class(val.means, reference),
        "shrunk": reliability.lowest(curves),
    }
    errors = choices.procedure_errors(val, test, reference, REFITS, rng)
    found = {}
    for way, chosen in places.items():
        gain = choices.gain(test, reference, chosen).estimate
        images = choices.normal(gain, errors["val and test"][way])
        classes = choices.students(gain, errors["classes"][way], len(val.counts))
        found[way] = gain, images.high - gain, classes.high - gain
    return found


def covered(interval: effects.Interval, truth: np.ndarray, columns: np.ndarray) -> float:
    """Return the share of classes and columns whose interval holds the truth."""
    return float(((interval.low <= truth) & (truth <= interval.high))[:, columns].mean())


def inside(interval: effects.Interval, truth: float) -> bool:
    return bool(interval.low <= truth <= interval.high)


def of_scenario(given: tuple[Scenario, int, bool]) -> dict[str, str]:
    """Return the figures of one scenario, as text, by name."""
    scenario, draws, long = given
    rng = np.random.default_rng(derived_seed("/".join(scenario.name), draws))
    rows: dict[str, list[float]] = {}
    for _ in range(draws):
        drawn = world(scenario, rng)
        for judge in (judged, over_classes, refitted) if long else (judged, over_classes):
            for name, value in judge(scenario, drawn, rng).items():
                rows.setdefault(name, []).append(value)
    shown = {name: figure(name, np.array(values)) for name, values in rows.items()}
    return shown | (gains(scenario, draws, rng) if long else {})


def gains(scenario: Scenario, draws: int, rng: np.random.Generator) -> dict[str, str]:
    """Return how often intervals of a way's gain hold its mean: of the same classes, and others."""
    fixed, shown = world(scenario, rng), {}
    for place, name in ((1, "other images"), (2, "other classes")):
        drawn = [
            procedures(scenario, fixed if place == 1 else world(scenario, rng), rng)
            for _ in range(draws)
        ]
        for way in drawn[0]:
            values = np.array([one[way] for one in drawn])
            hits = np.abs(values[:, 0] - values[:, 0].mean()) <= values[:, place]
            shown[f"gain of {way}, {name}, cover"] = figure("cover", hits.astype(float))
    return shown


def figure(name: str, values: np.ndarray) -> str:
    """Return a mean in %, and ! where it breaks its limit by more than the draws allow."""
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    reach = stats.norm.ppf(0.99) * max(error, 0.5 / len(values))
    broken = (name.endswith("size") and mean - reach > 0.07) or (
        name.endswith("cover") and mean + reach < 0.92
    )
    return f"{100 * mean:.1f}{' !' if broken else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, help="500 with --long, else 50")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--residuals", help="results/<study>/runs/<model>/<optimizer>")
    parser.add_argument("--classes", type=int, nargs="+", help="numbers of classes, K")
    parser.add_argument("--images", type=int, nargs="+", default=[10, 50], help="n of a class")
    given = parser.parse_args()
    given.draws = given.draws or (500 if given.long else 50)
    numbers = given.classes or ([10, 200, 1000] if given.long else [10, 200])
    noises = [("normal", False), ("lognormal", False), ("lognormal", True)]
    if given.residuals:
        numbers, noises = [0], [(given.residuals, False)]
    scenarios = [
        Scenario(number, images, noise, unequal, truth)
        for number, images, (noise, unequal), truth in itertools.product(
            numbers, given.images, noises, TRUTHS
        )
    ]
    with multiprocessing.get_context("spawn").Pool() as pool:
        work = [(scenario, given.draws, given.long) for scenario in scenarios]
        shown = pool.map(of_scenario, work, chunksize=1)
    columns = list(dict.fromkeys(name for one in shown for name in one))
    rows = [["K", "n", "noise", "truth", *columns]]
    for scenario, one in zip(scenarios, shown, strict=True):
        rows.append([*scenario.name, *(one.get(name, "") for name in columns)])
    print(table(rows))
    print(json.dumps({"machine": machine("cpu"), "draws": given.draws}))


if __name__ == "__main__":
    main()
