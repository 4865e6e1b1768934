"""The measured figures by name, one for each round; and the errors."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# The time of an event that did not happen.
NEVER = math.inf


@dataclass(frozen=True)
class Spread:
    """One figure over all rounds."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(statistics.median(values), min(values), max(values))

    def text(self, form: str, unit: str = "") -> str:
        """The median, with the least and the most in parentheses."""
        median, least, most = (
            "never" if value == NEVER else form.format(value) for value in (self.median, self.least, self.most)
        )
        return f"{median}{unit if self.median != NEVER else ''} ({least}–{most})"


@dataclass
class Figures:
    """Figures by name, such as `gateway.rate`, and by round. Those of a step that failed are missing in that round."""

    rounds: dict[str, dict[int, float]] = field(default_factory=dict)
    # One line for each step in which a driver counted errors, or which failed.
    errors: list[str] = field(default_factory=list)
    # The number of the current round.
    round: int = 0

    def add(self, new: Mapping[str, float]) -> None:
        for name, value in new.items():
            self.rounds.setdefault(name, {})[self.round] = value

    def current(self, name: str) -> float | None:
        """The figure of the current round."""
        return self.rounds.get(name, {}).get(self.round)

    def spread(self, name: str) -> Spread | None:
        values = self.rounds.get(name)
        return Spread.of(list(values.values())) if values else None

    def ratio(self, above: str, below: str) -> Spread | None:
        """The ratios within each round: a machine that slows down slows both."""
        upper, lower = self.rounds.get(above, {}), self.rounds.get(below, {})
        ratios = [value / lower[round_] for round_, value in upper.items() if lower.get(round_, 0) > 0]
        return Spread.of(ratios) if ratios else None

    def finite(self) -> dict[str, dict[int, float | None]]:
        """The figures for JSON, which has no infinity: NEVER becomes None."""
        return {
            name: {round_: None if value == NEVER else value for round_, value in values.items()}
            for name, values in self.rounds.items()
        }

    def record_errors(self, step: str, errors: Mapping[str, object], texts: Iterable[str] = ()) -> None:
        """Records the errors that a driver has counted, and the messages of some of them, for the report."""
        parts = [f"{name}: {count}" for name, count in errors.items()] + [f"“{text}”" for text in texts]
        if parts:
            self.errors.append(f"round {self.round}, {step}: {', '.join(parts)}")
