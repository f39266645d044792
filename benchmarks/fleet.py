"""Measures what `fleetgate` adds to Terraform's own time, and how fast devices come in beside what the cloud itself can do."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from awscrt.mqtt_request_response import ClientOptions
from awsiot.iotidentity import CreateKeysAndCertificateRequest, IotIdentityClientV2

from clouds import ENVIRONMENT, Cloud, start
from fleetgate import provisioning
from fleetgate.mqtt import MqttSession
from fleetgate.terraform import GOGC

#: A second run may cost this much of Terraform's own time.
SECOND_RUN_LIMIT = 1.10


def cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure(folder: Path, devices: int, parallel: int, applies: int) -> dict[str, Any]:
    """Both measurements on one fleet, which is stopped at the end."""
    cloud = start(folder / "checkout")
    try:
        cloud.apply()
        for name, value in cloud.environment().process_variables().items():
            if value is not None:
                os.environ[name] = value
        return {
            "second_run": _second_run(cloud, applies),
            "provisioning": _provisioning(cloud, devices, parallel),
        }
    finally:
        cloud.run("cloud", "down")


def _second_run(cloud: Cloud, pairs: int) -> dict[str, Any]:
    """plan and apply with nothing to change: fleetgate's against Terraform's, in turns."""
    build = cloud.environment().build
    environment = {k: v for k, v in os.environ.items() if k != "TF_CLI_CONFIG_FILE"}
    environment["TF_DATA_DIR"] = str(build / "terraform")
    environment.setdefault("GOGC", GOGC)  # what is measured is our own work, and not how Go collects its garbage

    def terraform() -> None:
        plan = str(build / "bench.tfplan")
        for words in (["plan", f"-var-file={build / 'fleet.tfvars.json'}", f"-out={plan}", "-input=false"], ["apply", plan]):
            subprocess.run(["terraform", *words], cwd=cloud.root / "terraform", env=environment, check=True, capture_output=True)

    def fleetgate() -> None:
        cloud.run("plan")
        cloud.run("apply", "--no-smoke")

    fleetgate()
    ours, own = [], []
    for number in range(pairs):
        print(f"  second run {number + 1} of {pairs}", file=sys.stderr)
        ours.append(_timed(fleetgate))
        own.append(_timed(terraform))
    ratio = round(statistics.median(a / b for a, b in zip(ours, own, strict=True)), 3)
    return {
        "ratio": ratio,
        "limit": SECOND_RUN_LIMIT,
        "fleetgate_seconds": round(statistics.median(ours), 2),
        "terraform_seconds": round(statistics.median(own), 2),
        "pairs": pairs,
        "within_limits": ratio <= SECOND_RUN_LIMIT,
    }


def _provisioning(cloud: Cloud, count: int, parallel: int) -> dict[str, Any]:
    """Devices a second through the whole way, beside bare key creation on as many connections."""
    cloud.run("registry", "add", "--type", "humidity-sensor", f"HUM-{100_000:06}..HUM-{100_000 + count - 1:06}")
    bare_before = _bare_creation(cloud, count // 2, parallel)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"  provisioning {count} devices", file=sys.stderr)
    words = ["--type", "humidity-sensor", "--count", str(count), "--parallel", str(parallel), "--json"]
    # Whatever its exit status: on a busy machine the gate refuses a device now and then (its registry has a second to answer).
    report = json.loads(cloud.run("device", "provision", *words, status=None).stdout)["summary"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    bare = statistics.mean([bare_before, _bare_creation(cloud, count - count // 2, parallel)])
    client_cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return {
        "devices": report["provisioned"],
        "failed": report["failed"],
        "parallel": parallel,
        "devices_a_second": round(report["devicesPerSecond"], 2),
        "bare_keys_a_second": round(bare, 2),
        "ratio": round(report["devicesPerSecond"] / bare, 3),
        # Below 1, the client leaves a processor idle while it waits for the cloud: it is not the bottleneck.
        "client_cpu_of_one_processor": round(client_cpu / report["seconds"], 3),
        "environment": ENVIRONMENT,
    }


def _bare_creation(cloud: Cloud, count: int, parallel: int) -> float:
    """CreateKeysAndCertificate and nothing else, on `parallel` open connections; answers a second."""
    gate = provisioning.gate(cloud.fleet(), "factory-1")
    left, lock = iter(range(count)), threading.Lock()

    def work(number: int) -> None:
        client_id = gate.claim_client_id(f"bench-{number}")
        with MqttSession(gate.endpoint, client_id, gate.claim_certificate, gate.claim_key) as session:
            session.connect(20)
            options = ClientOptions(
                max_request_response_subscriptions=4, max_streaming_subscriptions=0, operation_timeout_in_seconds=30
            )
            service = IotIdentityClientV2(session.client, options)
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                service.create_keys_and_certificate(CreateKeysAndCertificateRequest()).result(30)

    def run() -> None:
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(work, range(parallel)))

    return count / _timed(run)


def _timed(run: Any) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun
