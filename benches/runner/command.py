"""The whole of it."""

from __future__ import annotations

import json
import sys
import time

from . import environment, interrupts, options, report, schedule
from .children import Failure
from .figures import Figures


def main() -> int:
    """0: all is measured, meets it the bars or not; 1: a part failed; 2: what it needs is missing; 130: stopped."""
    chosen = options.read()
    interrupts.install()
    figures, began = Figures(), time.monotonic()
    try:
        environment.prepare(chosen)
        environment.build(chosen)
    except Failure as failure:
        print(f"benches/run: {failure}", file=sys.stderr)
        return 2
    try:
        whole = schedule.measure(chosen, figures)
    except Failure as failure:
        print(f"\nbenches/run: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbenches/run: stopped; nothing is written", file=sys.stderr)
        return 130
    text = report.text(chosen, figures, time.monotonic() - began)
    chosen.out.write_text(text)
    if chosen.json:
        chosen.json.write_text(json.dumps({"rounds": figures.finite(), "errors": figures.errors}, indent=2) + "\n")
    print(report.verdict(chosen, figures), file=sys.stderr)
    print(f"benches/run: {chosen.out}", file=sys.stderr)
    return 0 if whole else 1
