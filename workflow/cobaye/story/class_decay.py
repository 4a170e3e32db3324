"""What the story of a study says of a λ for each class, in the words of the table `per-class`."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

TABLE = "per-class"

_WAYS = {
    "val": "each class's lowest validation loss",
    "shrunk": "its shrunk validation curve",
    "hypergradient": "the cross-fitted hypergradient",
}


def tell(test: pd.Series, group: Mapping[str, pd.DataFrame]) -> str:
    """Return the paragraph of one (model, optimizer). test: its row of `class-tests`."""
    table = group[TABLE].set_index("choice")
    judged = table[table["loss_difference"].notna()].drop(index="one", errors="ignore")
    if judged.empty:
        return "**A λ for each class?** No classifier with one stayed finite."
    each = "; ".join(
        f"by {_WAYS.get(way, way)}: {_signed(row, 'loss', 1, 4)} in test loss, "
        f"{_signed(row, 'accuracy', 100, 1)} points of accuracy, "
        f"{_signed(row, 'tenth', 100, 1)} in the worst tenth of the classes ({row['verdict']})"
        for way, row in judged.iterrows()
    )
    wins = [_WAYS.get(way, way) for way, row in judged.iterrows() if _beats(row)]
    loses = [_WAYS.get(way, way) for way, row in judged.iterrows() if _loses(row)]
    if wins:
        verdict = f"Choosing by {' and by '.join(wins)} beats one λ"
        verdict += ", in mean loss, on the test images of this study"
    else:
        verdict = "No way is known to beat one λ for all"
    if loses:
        verdict += f"; choosing by {' and by '.join(loses)} is worse"
    one = table.loc["one"]
    return (
        f"**A λ for each class?** One more classifier with a λ for each class, judged on test "
        f"beside the best single one (loss {one['loss']:.4f}, accuracy {100 * one['accuracy']:.1f} "
        f"%): {each}. {verdict}."
    )


def _beats(row: pd.Series) -> bool:
    return row["verdict"] == "beats one λ"


def _loses(row: pd.Series) -> bool:
    return row["verdict"] == "worse than one λ"


def _signed(row: pd.Series, measure: str, factor: float, digits: int) -> str:
    mean, low, high = (
        f"{factor * row[f'{measure}_{end}']:+.{digits}f}" for end in ("difference", "low", "high")
    )
    return f"{mean} ({low} to {high})".replace("-", "−")
