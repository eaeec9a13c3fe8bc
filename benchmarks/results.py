"""Results: one row per figure, as a table for people and as JSON for everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

DIGITS = 4
"""Significant ones, of every figure: more would not be the same in the next run."""
GROUPED = 1000


@dataclass(frozen=True)
class Result:
    """One figure of ours beside the same figure of another way; of both, less is better."""

    benchmark: str
    case: str
    metric: str
    unit: str
    ours: float
    baseline: float
    baseline_name: str

    @property
    def ratio(self) -> float | None:
        """How many times ours the other way takes; nothing where ours is nothing."""
        return self.baseline / self.ours if self.ours else None

    def as_plain(self) -> dict[str, Any]:
        """Return what JSON holds of it."""
        ratio = None if self.ratio is None else rounded(self.ratio)
        return {
            **asdict(self),
            "ours": rounded(self.ours),
            "baseline": rounded(self.baseline),
            "ratio": ratio,
        }


def rounded(figure: float) -> float:
    """Return a figure with as many digits as mean something."""
    return float(f"{figure:.{DIGITS}g}")


def document(
    results: Sequence[Result], machine: Mapping[str, object], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the file of results holds."""
    return {
        "machine": dict(machine),
        "versions": dict(versions),
        "results": [each.as_plain() for each in results],
    }


def table(results: Sequence[Result]) -> Table:
    """Return the results for a terminal."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("benchmark", "case", "metric", "unit"):
        made.add_column(heading)
    for heading in ("ours", "baseline", "ratio"):
        made.add_column(heading, justify="right")
    made.add_column("baseline is")
    before: Result | None = None
    for each in results:
        same = before is not None and before.benchmark == each.benchmark
        made.add_row(
            "" if same else each.benchmark,
            "" if same and before is not None and before.case == each.case else each.case,
            each.metric,
            each.unit,
            _written(each.ours),
            _written(each.baseline),
            "" if each.ratio is None else f"{_written(each.ratio)} x",
            each.baseline_name,
        )
        before = each
    return made


def _written(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= GROUPED else f"{figure:.3g}"
