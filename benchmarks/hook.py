"""Measures the provisioning hook against the naive one, on the same stub of DynamoDB.

Ratios only mean something within one run: both hooks are measured in turns, so that a busy machine hurts both alike.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HOOK = HERE.parent / "lambda_src" / "provisioning_hook"
EVENT = HERE.parent / "tests" / "events" / "provisioning_hook.json"
#: What the project promises; a run says whether it kept the promise.
LIMITS = {"decision": 0.6, "import_wall": 0.85, "import_cpu": 0.85, "requests": 1}
CATALOGUE = {
    "deviceTypes": {
        "temperature-sensor": {
            "thingNamePrefix": "temperature-sensor-",
            "thingTypeName": "temperature-sensor",
            "groupName": "temperature-sensor-devices",
            "policyName": "fleetgate-temperature-sensor",
            "enrolment": "allow_list",
            "canarySerial": "TEMP-000000",
            "serialPattern": "TEMP-[0-9]{6}",
            "manufacturers": ["AcmeSensors"],
            "firmwarePattern": "[0-9]+\\.[0-9]+\\.[0-9]+",
            "minimumFirmware": "1.0.0",
            "extraParameters": {"Extra_powerSource": "unknown"},
        }
    },
}
#: Runs in a fresh interpreter: import of the module, client included, in wall and CPU seconds.
IMPORT = """
import importlib, json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
importlib.import_module(sys.argv[1])
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""

WARM_UP = 20

Handler = Callable[[Any, object], dict[str, Any]]


def measure(decision_count: int = 300, import_count: int = 25, delay_ms: float = 5.0) -> dict[str, Any]:
    """Both hooks in turns: decisions against a stub that answers after `delay_ms`, and `import_count` cold starts of each."""
    event = json.loads(EVENT.read_text(encoding="utf-8"))
    with stub(delay_ms) as url, deployed(event, url):
        result = {"decision": decisions(event, url, decision_count), "import": imports(import_count), "limits": LIMITS}
    result["within_limits"] = (
        result["decision"]["ratio"] <= LIMITS["decision"]
        and result["decision"]["requests_ours"] == LIMITS["requests"]
        and result["import"]["wall_ratio"] <= LIMITS["import_wall"]
        and result["import"]["cpu_ratio"] <= LIMITS["import_cpu"]
    )
    return result


@contextlib.contextmanager
def stub(delay_ms: float) -> Iterator[str]:
    command = [sys.executable, str(HERE / "dynamodb_stub.py"), "--delay-ms", str(delay_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextlib.contextmanager
def deployed(event: dict[str, Any], url: str) -> Iterator[None]:
    """Both hooks importable, with the environment that Lambda would give them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in HOOK.glob("*.py"):
            shutil.copy(source, folder)
        (folder / "catalogue.json").write_text(json.dumps(CATALOGUE), encoding="utf-8")
        os.environ.update(
            AWS_ACCESS_KEY_ID="bench",
            AWS_SECRET_ACCESS_KEY="bench",
            AWS_REGION="us-east-1",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ENDPOINT_URL=url,
            TABLE_NAME="bench-device-registry",
            TEMPLATE_ARN=event["templateArn"],
            CLAIM_CERTIFICATE_IDS=event["claimCertificateId"],
            LEASE_SECONDS="600",
            PYTHONPATH=os.pathsep.join([name, str(HERE)]),
        )
        sys.path[:0] = [name, str(HERE)]
        yield


def decisions(event: dict[str, Any], url: str, count: int) -> dict[str, Any]:
    """Median time of a decision, in turns: ours, naive, ours, naive."""
    hooks: dict[str, Handler] = {
        "ours": importlib.import_module("handler").handler,
        "naive": importlib.import_module("naive_hook").handler,
    }
    requests: dict[str, float] = {}
    for name, hook in hooks.items():  # also opens the connection and warms every cache
        before = requests_so_far(url)
        for _ in range(WARM_UP):
            decide(hook, event)
        requests[name] = (requests_so_far(url) - before) / WARM_UP
    seconds: dict[str, list[float]] = {name: [] for name in hooks}
    for _ in range(count):
        for name, hook in hooks.items():
            start = time.perf_counter()
            decide(hook, event)
            seconds[name].append(time.perf_counter() - start)
    return {
        "ours_ms": round(statistics.median(seconds["ours"]) * 1000, 2),
        "naive_ms": round(statistics.median(seconds["naive"]) * 1000, 2),
        "ratio": ratio(seconds["ours"], seconds["naive"]),
        "requests_ours": requests["ours"],
        "requests_naive": requests["naive"],
        "decisions": count,
    }


def decide(hook: Handler, event: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        answer = hook(event, None)
    if answer["allowProvisioning"] is not True:
        raise SystemExit("the benchmark's event was refused; it has to be allowed by both hooks")


def imports(count: int) -> dict[str, Any]:
    """Median time from nothing imported to a client, in fresh interpreters."""
    times: dict[str, list[list[float]]] = {"handler": [], "naive_hook": []}
    for round_ in range(-1, count):  # the first one compiles
        for module, values in times.items():
            output = subprocess.run([sys.executable, "-c", IMPORT, module], check=True, capture_output=True, text=True).stdout
            if round_ >= 0:
                values.append(json.loads(output))
    wall, cpu = ({m: [v[i] for v in values] for m, values in times.items()} for i in (0, 1))
    return {
        "ours_ms": round(statistics.median(wall["handler"]) * 1000, 1),
        "naive_ms": round(statistics.median(wall["naive_hook"]) * 1000, 1),
        "wall_ratio": ratio(wall["handler"], wall["naive_hook"]),
        "cpu_ratio": ratio(cpu["handler"], cpu["naive_hook"]),
        "imports": count,
    }


def ratio(ours: list[float], naive: list[float]) -> float:
    """The median of the ratios of neighbours: a slow second of the machine then slows both sides of a pair."""
    return round(statistics.median(a / b for a, b in zip(ours, naive, strict=True)), 3)


def requests_so_far(url: str) -> int:
    with urllib.request.urlopen(f"{url}/count") as response:
        return int(json.load(response)["count"])
