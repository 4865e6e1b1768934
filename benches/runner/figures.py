"""What was seen: figures by name, one for each round; and what went wrong."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# When something happened that did not happen.
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
        """The median, and between which figures."""
        median, least, most = (
            "never" if value == NEVER else form.format(value) for value in (self.median, self.least, self.most)
        )
        return f"{median}{unit if self.median != NEVER else ''} ({least}–{most})"


@dataclass
class Figures:
    """By name, as `gateway.rate`, and by round: one that a failure kept from being seen is missing, and no other."""

    rounds: dict[str, dict[int, float]] = field(default_factory=dict)
    # What was no answer as wished, by what was being measured.
    errors: list[str] = field(default_factory=list)
    # Which one it is.
    round: int = 0

    def add(self, new: Mapping[str, float]) -> None:
        for name, value in new.items():
            self.rounds.setdefault(name, {})[self.round] = value

    def now(self, name: str) -> float | None:
        """Of this round."""
        return self.rounds.get(name, {}).get(self.round)

    def spread(self, name: str) -> Spread | None:
        values = self.rounds.get(name)
        return Spread.of(list(values.values())) if values else None

    def ratio(self, above: str, below: str) -> Spread | None:
        """Of what was measured in the same round: a machine that slows down slows both."""
        upper, lower = self.rounds.get(above, {}), self.rounds.get(below, {})
        ratios = [value / lower[round_] for round_, value in upper.items() if lower.get(round_, 0) > 0]
        return Spread.of(ratios) if ratios else None

    def finite(self) -> dict[str, dict[int, float | None]]:
        """For JSON, which has no word for never."""
        return {
            name: {round_: None if value == NEVER else value for round_, value in values.items()}
            for name, values in self.rounds.items()
        }

    def complain(self, what: str, errors: Mapping[str, object], texts: Iterable[str] = ()) -> None:
        """Keeps what a driver has counted as errors, and what some of them said, for the report."""
        told = [f"{name}: {count}" for name, count in errors.items()] + [f"“{text}”" for text in texts]
        if told:
            self.errors.append(f"round {self.round}, {what}: {', '.join(told)}")
