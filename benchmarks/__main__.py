"""`make bench`: every measurement in one run, written to benchmarks/results.json. Ratios only: the machine is anybody's."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]  # the clouds of the end-to-end tests serve here too

import fleet
import hook
import policies

RESULTS = HERE / "results.json"


def loop_milliseconds() -> float:
    """Processor time of a million additions, the median of nine: how fast the machine is today, beside what is no ratio."""
    rounds = []
    for _ in range(9):
        start = time.process_time()
        total = 0
        for number in range(1_000_000):
            total += number
        rounds.append((time.process_time() - start) * 1000)
    return statistics.median(rounds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--devices", type=int, default=200, help="devices to provision (default: 200)")
    parser.add_argument("--parallel", type=int, default=8, help="how many at a time (default: 8)")
    parser.add_argument("--applies", type=int, default=5, help="pairs of second runs to time (default: 5)")
    args = parser.parse_args()
    print("the hook against the naive one …", file=sys.stderr)
    results = {"hook": hook.measure()}
    with tempfile.TemporaryDirectory() as folder:
        print("the policy toolchain beside checkov and parliament …", file=sys.stderr)
        results["policies"] = policies.measure(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        print("a fleet on an embedded cloud of its own …", file=sys.stderr)
        results |= fleet.measure(Path(folder), args.devices, args.parallel, args.applies)
    results["machine"] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "cpus": fleet.cpus(),
        "loop_milliseconds": round(loop_milliseconds(), 1),
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))
    kept = all(results[part]["within_limits"] for part in ("hook", "policies", "second_run"))
    print(f"{RESULTS.name} written; limits {'kept' if kept else 'BROKEN'}", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
