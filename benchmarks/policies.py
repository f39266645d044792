"""The policy toolchain beside checkov and parliament, on the same generated policies and in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: A hook that runs on every commit must not be felt.
COLD_CPU_SECONDS, TIMES_FASTER_THAN_CHECKOV, WARM_MILLISECONDS, ISOLATION_SECONDS = 0.3, 10.0, 0.25, 0.5
#: Of cold and of warm lint the least counts, as timeit counts: what is above it is what other programs do to the machine. The
#: ratios take the median, since checkov and parliament run once.
COLD_ROUNDS, WARM_ROUNDS = 15, 100


def generate(number: int) -> dict[str, Any]:
    """A policy like those of this repository: five statements without a finding, every name of its own."""
    arn = "arn:aws:iot:eu-central-1:123456789012"
    thing = "${iot:Connection.Thing.ThingName}"
    own = [f"$aws/things/{thing}/shadow/*", f"$aws/things/{thing}/jobs/*"]
    config = f"config/kind{number}/{thing}/*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Connect",
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": f"{arn}:client/{thing}",
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
            },
            _allow("Own", ["iot:Publish", "iot:Receive"], [f"{arn}:topic/{topic}" for topic in own]),
            _allow("Config", "iot:Receive", [f"{arn}:topic/{config}"]),
            _allow("Subscribe", "iot:Subscribe", [f"{arn}:topicfilter/{topic}" for topic in (*own, config)]),
            _allow("Telemetry", "iot:Publish", [f"{arn}:topic/{kind}/kind{number}/{thing}/*" for kind in ("sensors", "alarms")]),
        ],
    }


def measure(folder: Path, policies: int = 200, types: int = 100) -> dict[str, Any]:
    """Cold and warm lint, checkov and parliament on the same files, and the isolation of all pairs of `types` policies."""
    for number in range(policies):
        (folder / f"kind{number}.json").write_text(json.dumps(generate(number), indent=2), encoding="utf-8")
    lint = [_child([sys.executable, "-m", "fleetgate", "lint", str(folder)]) for _ in range(COLD_ROUNDS)]
    cold, usual = min(cpu for cpu, _ in lint), statistics.median(cpu for cpu, _ in lint)
    new, warm = _warm(folder)
    isolation = _isolation(types)
    results: dict[str, Any] = {
        "policies": policies,
        "cold_lint_cpu_seconds": round(cold, 3),
        "cold_lint_cpu_seconds_median": round(usual, 3),
        "cold_lint_memory_mebibytes": round(max(memory for _, memory in lint) / 1024, 1),
        "warm_lint_milliseconds_a_policy": round(warm, 3),
        "warm_lint_milliseconds_a_policy_not_seen_before": round(new, 3),
        "isolation_ordered_pairs": types * types,
        "isolation_seconds": round(isolation, 3),
    }
    within = cold <= COLD_CPU_SECONDS and warm <= WARM_MILLISECONDS and isolation <= ISOLATION_SECONDS
    scanners = Path(os.environ.get("FLEETGATE_IAM_PYTHON", ".venv-iam/bin/python"))
    if scanners.is_file():
        options = ("--framework", "json", "--skip-download", "--quiet", "--compact", "--directory")
        checkov, _ = _child([str(scanners.parent / "checkov"), *options, str(folder)], may_find=True)
        parliament, _ = _child([str(scanners), "-c", _PARLIAMENT, str(folder)])
        results |= {"checkov_times_as_long": round(checkov / usual, 1), "parliament_times_as_long": round(parliament / usual, 1)}
        within = within and checkov / usual >= TIMES_FASTER_THAN_CHECKOV
    return {**results, "within_limits": within}


_PARLIAMENT = """
import pathlib, sys, parliament
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
    try:
        parliament.analyze_policy_string(path.read_text()).findings
    except Exception:
        pass
"""


def _allow(sid: str, action: str | list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources}


#: A process counts the memory of the one it was made from as its own, so a small one stands between.
_MEASURED = """
import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, used = os.wait4(child, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def _child(command: list[str], *, may_find: bool = False) -> tuple[float, int]:
    """Processor seconds and the largest memory in KiB of a process of its own. may_find: whether it may end with 1."""
    # Installed packages come compiled; a checkout is compiled by its first run, unless that may not write.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    shell = [sys.executable, "-S", "-c", _MEASURED]
    done = subprocess.run([*shell, *command], capture_output=True, check=True, text=True, env=environ)
    cpu, memory, status = done.stdout.split()
    if int(status) not in ((0, 1) if may_find else (0,)):
        raise RuntimeError(f"{command[:4]} ended with {status}: {done.stderr[-500:]}")
    return float(cpu), int(memory)


def _warm(folder: Path) -> tuple[float, float]:
    """Milliseconds of processor time a policy, reading included, in a process that has linted: others before, the same before.

    Of the same ones the least of all rounds.
    """
    from fleetgate import lint_files

    paths = sorted(folder.glob("*.json"))

    def lint(part: slice) -> float:
        chosen = [str(path) for path in paths[part]]
        start = time.process_time()
        lint_files.lint_paths(chosen, "local")
        return (time.process_time() - start) / len(chosen) * 1000

    half = len(paths) // 2
    lint(slice(half))
    new = lint(slice(half, None))
    return new, min(lint(slice(None)) for _ in range(WARM_ROUNDS))


def _isolation(types: int) -> float:
    """Processor seconds for every ordered pair of types, from policies that were just read."""
    from fleetgate.iot_policy import grants, isolation, model
    from fleetgate.iot_policy.isolation import Member

    members = [Member(f"kind{n}", (model.read(generate(n), f"kind{n}"),), thing_type=f"kind{n}") for n in range(types)]
    start = time.process_time()
    report = isolation.check_all(members, grants.scopes([policy for member in members for policy in member.policies]))
    seconds = time.process_time() - start
    if not report.isolated:
        raise RuntimeError("the generated policies are isolated, and isolation says that they are not")
    return seconds
