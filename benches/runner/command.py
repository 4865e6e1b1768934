"""The main program."""

from __future__ import annotations

import json
import sys
import time

from . import environment, interrupts, options, report, schedule
from .children import Failure
from .figures import Figures


def main() -> int:
    """Returns 0: everything was measured, whether or not it meets the targets; 1: a step failed; 2: a program or
    another requirement is missing; 130: interrupted."""
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
        complete = schedule.measure(chosen, figures)
    except Failure as failure:
        print(f"\nbenches/run: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbenches/run: interrupted; no report is written", file=sys.stderr)
        return 130
    text = report.text(chosen, figures, time.monotonic() - began)
    chosen.out.write_text(text)
    if chosen.json:
        chosen.json.write_text(json.dumps({"rounds": figures.finite(), "errors": figures.errors}, indent=2) + "\n")
    print(report.verdict(chosen, figures), file=sys.stderr)
    print(f"benches/run: {chosen.out}", file=sys.stderr)
    return 0 if complete else 1
