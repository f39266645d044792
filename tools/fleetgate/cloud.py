"""Starts, stops and watches the embedded cloud of an environment.

One process, on 127.0.0.1 only, with IAM and IoT policies enforced (AUTH=true: that is what proves least privilege), its state
under `build/<env>/cloud/`. It outlives the command that started it and is stopped by `fleetgate cloud down`. Other environments
may use it as well (`embedded_cloud: {of: <env>}`): they start it, and only the one that it belongs to stops it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetgate import files
from fleetgate.embedded_cloud import LOOPBACK
from fleetgate.environment import EmbeddedCloud, Environment
from fleetgate.errors import FleetgateError, Problem, fail

START_SECONDS = 60.0
STOP_SECONDS = 30.0
MODULE = "fleetgate.embedded_cloud"
#: What the process may see of its parent's environment; a developer's AWS settings must not reach the rehearsal's Lambdas.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")


@dataclass(frozen=True)
class Status:
    """What `fleetgate cloud status` shows. pid is None when the cloud is down."""

    pid: int | None
    ready: bool
    endpoint_url: str
    mqtt: str
    folder: str


def status(environment: Environment) -> Status:
    """The state of the environment's embedded cloud; never changes it."""
    cloud = _settings(environment)
    pid = _running_pid(environment)
    return Status(
        pid=pid,
        ready=pid is not None and _is_ready(environment),
        endpoint_url=environment.endpoint_url,
        mqtt=f"{LOOPBACK}:{cloud.mqtt_port}",
        folder=str(environment.cloud_folder),
    )


def up(environment: Environment, say: Callable[[str], None]) -> bool:
    """Starts the cloud unless it runs. Returns whether it started one, and says so. Raises FleetgateError if a port is taken."""
    cloud = _settings(environment)
    if _running_pid(environment) is not None:
        _wait_until_ready(environment, say)
        return False
    taken = [port for port in (cloud.gateway_port, cloud.mqtt_port) if _is_taken(port)]
    if taken:
        raise FleetgateError(
            Problem(
                f"{LOOPBACK}:{port}",
                "the port is taken by another program, or by the embedded cloud of another checkout",
                f"stop that one (make down there), or choose another port under embedded_cloud in {environment.cloud_host.file}",
            )
            for port in taken
        )
    say("starting the embedded cloud")
    folder = environment.cloud_folder
    for sub in ("state", "tmp", "s3"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # state holds the private keys that the cloud made for devices
    log = (folder / "cloud.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, str(_lock_file(environment))],
        cwd=folder,
        env=_variables(environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the command that started it must not end it
    )
    log.close()
    _wait_until_ready(environment, say, process)
    return True


def down(environment: Environment) -> bool:
    """Stops the cloud, which then writes its state. Returns whether one was running."""
    _settings(environment)
    host = environment.cloud_host
    if host is not environment:
        what = f"{environment.name} has no embedded cloud of its own, it uses the one of {host.name}"
        raise fail(environment.file, what, f"to stop it for both, run: fleetgate cloud down --env {host.name}")
    pid = _running_pid(environment)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _running_pid(environment) == pid:
        if time.monotonic() > deadline:
            raise fail(f"process {pid}", f"the embedded cloud did not stop in {STOP_SECONDS:.0f} s", f"kill -KILL {pid}")
        time.sleep(0.05)
    return True


def require(environment: Environment) -> None:
    """Raises FleetgateError if the environment has an embedded cloud and it is not running.

    What answers on its port may be another checkout's cloud, so the lock counts, and not the port alone.
    """
    if environment.settings.embedded_cloud and (_running_pid(environment) is None or not _is_ready(environment)):
        remedy = f"run: fleetgate cloud up --env {environment.name}"
        if not log_file(environment).exists():
            from fleetgate import applied  # which imports AWS's SDK

            remedy += f"; it never ran yet: {applied.command(environment)} starts it and applies the fleet"
        raise fail(environment.endpoint_url, "the embedded cloud is not running", remedy)


def log_file(environment: Environment) -> Path:
    return environment.cloud_folder / "cloud.log"


def _settings(environment: Environment) -> EmbeddedCloud:
    cloud = environment.settings.embedded_cloud
    if cloud is None:
        raise fail(environment.file, f"{environment.name} is on AWS: there is no embedded cloud", "use --env local")
    return cloud


def _lock_file(environment: Environment) -> Path:
    return environment.cloud_folder / "lock"


def _variables(environment: Environment) -> dict[str, str]:
    cloud = _settings(environment)
    folder, host = environment.cloud_folder, environment.cloud_host.settings  # whoever starts it, it is the same cloud
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(cloud.gateway_port),
        "IOT_MTLS_PORT": str(cloud.mqtt_port),
        "SFTP_ENABLED": "0",
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": host.region,
        "MINISTACK_REGION": host.region,
        "MINISTACK_ACCOUNT_ID": host.account_id,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "TMPDIR": str(folder / "tmp"),
        "LOG_LEVEL": "INFO",
    }


def _running_pid(environment: Environment) -> int | None:
    """The process that holds the cloud's lock, or None."""
    try:
        with _lock_file(environment).open("r+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.readline() or 0)
    except FileNotFoundError:
        pass
    return None


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _is_ready(environment: Environment) -> bool:
    """Whether the environment's own cloud serves both of its ports. Another checkout's could answer there while ours starts."""
    cloud = _settings(environment)
    try:
        served = _lock_file(environment).read_text(encoding="ascii").split()[1:]
    except FileNotFoundError:
        return False
    if not {str(cloud.gateway_port), str(cloud.mqtt_port)} <= set(served):
        return False
    try:
        with urllib.request.urlopen(f"{environment.endpoint_url}/_ministack/ready", timeout=5) as answer:  # noqa: S310
            return bool(json.load(answer).get("iot_mtls") == "listening")
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _wait_until_ready(
    environment: Environment, say: Callable[[str], None], process: subprocess.Popen[bytes] | None = None
) -> None:
    started = time.monotonic()
    told = False
    while not _is_ready(environment):
        waited = time.monotonic() - started
        if process is not None and process.poll() is not None:
            raise fail(str(log_file(environment)), "the embedded cloud ended while starting", "see the end of that file")
        if waited > START_SECONDS:
            raise fail(str(log_file(environment)), f"not ready after {waited:.0f} s", "see that file; then: make down")
        if waited > 2 and not told:
            say("  waiting for the embedded cloud to be ready …")
            told = True
        time.sleep(0.1)
    _write_ca(environment)


def _write_ca(environment: Environment) -> None:
    with urllib.request.urlopen(f"{environment.endpoint_url}/_ministack/iot/ca.pem", timeout=10) as answer:  # noqa: S310
        files.replace(environment.cloud_ca_file, answer.read())
