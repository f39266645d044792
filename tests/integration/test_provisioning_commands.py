"""`fleetgate device provision` with the registry in moto, and the SDK's connection and service replaced."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from awsiot import V2ServiceException
from moto.iot.exceptions import ResourceNotFoundException
from moto.iot.responses import IoTResponse

from fleetgate import device, environment, identity, smoke_hook
from fleetgate.cli import main
from fleetgate.identity import IdentityFolder
from fleetgate.mqtt import ConnectionLost

TYPE = "humidity-sensor"
ENVIRONMENT = """
account_id: "123456789012"
region: us-east-1
device_endpoint: {host: devices.example}
claims:
  factory-1: {}
"""


class Service:
    """AWS IoT's side: makes certificates, lets each device in, and remembers. before_register: what happens to a device then."""

    def __init__(self, registry):
        self.registry = registry
        self.registered = []
        self.before_register = lambda serial: None
        self.throttled = set()

    def create_keys_and_certificate(self, request):
        pem = smoke_hook.self_made_certificate()
        made = identity.certificate_id(pem)
        return answer(
            SimpleNamespace(
                certificate_id=made, certificate_pem=pem, private_key=f"key of {made}", certificate_ownership_token=made
            )
        )

    def register_thing(self, request):
        serial = request.parameters["SerialNumber"]
        self.before_register(serial)
        if serial in self.throttled:
            return throttled()
        self.registry.put(
            serialNumber=serial, deviceType=TYPE, status="active", certificateId=request.certificate_ownership_token
        )
        self.registered.append(serial)
        return answer(SimpleNamespace(thing_name=f"{TYPE}-{serial}"))


class Session:
    client = None

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def connect(self, seconds):
        pass

    def close(self):
        pass

    def wait(self, future, what, seconds):
        return future.result(0)


def answer(value):
    future = Future()
    future.set_result(value)
    return future


def throttled():
    future = Future()
    future.set_exception(V2ServiceException("any", None, SimpleNamespace(status_code=429, error_code="", error_message="")))
    return future


@pytest.fixture
def service(registry, monkeypatch):
    service = Service(registry)
    monkeypatch.setattr(device, "MqttSession", Session)
    monkeypatch.setattr(device, "IotIdentityClientV2", lambda client, options: service)
    return service


@pytest.fixture
def provision(checkout, service, capsys, monkeypatch, tmp_path):
    """Runs `fleetgate device provision`; returns exit status, stdout and stderr."""
    monkeypatch.setattr("fleetgate.cloud.require", lambda environment: None)
    (checkout / "terraform/envs/moto.yaml").write_text(ENVIRONMENT, encoding="utf-8")
    claim = environment.load(checkout, "moto").claim_folder("factory-1")
    claim.mkdir(parents=True)
    (claim / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
    (claim / "key.pem").chmod(0o600)
    (claim / "certificate.pem").write_text("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")

    def run(*words):
        capsys.readouterr()
        base = ["--root", str(checkout), "device", "provision", "--type", TYPE, "--env", "moto", "--keys", str(tmp_path / "keys")]
        status = main([*base, *words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err + shown.out
        return status, shown.out, shown.err

    return run


def register(registry, *serials):
    for serial in serials:
        registry.put(serialNumber=serial, deviceType=TYPE)


def test_ctrl_c_ends_with_130_keeps_the_keys_and_the_same_command_goes_on(provision, service, registry, tmp_path):
    register(registry, "HUM-000001", "HUM-000002", "HUM-000003")
    pressed = threading.Event()

    def press_ctrl_c(serial):
        # Once: the second attempt of a throttled device may come before the command ends, and a second signal after it.
        if serial == "HUM-000002" and not pressed.is_set():
            pressed.set()
            deadline = time.monotonic() + 30
            while "HUM-000001" not in service.registered and time.monotonic() < deadline:
                time.sleep(0.01)
            service.throttled.add(serial)  # it would go on trying for a minute and more
            os.kill(os.getpid(), signal.SIGINT)

    service.before_register = press_ctrl_c
    service.throttled.add("HUM-000003")  # or it might be in before the signal is
    status, out, err = provision("--count", "3", "--json")
    report = json.loads(out)
    assert status == 130
    assert [d["serialNumber"] for d in report["provisioned"]] == service.registered == ["HUM-000001"]
    assert report["failed"] == [] and report["summary"]["interrupted"] is True and report["summary"]["wanted"] == 3
    assert "stopped: 2 of 3 are not in yet" in err and "--count 2 goes on" in err
    begun = IdentityFolder(tmp_path / "keys/HUM-000002")
    assert begun.load().token and stat.S_IMODE(begun.key_file.stat().st_mode) == 0o600
    certificate, key = begun.load().certificate_id, begun.key_file.read_text()
    third = IdentityFolder(tmp_path / "keys/HUM-000003").load()  # begun or not, as the threads had it

    service.before_register, service.throttled = (lambda serial: None), set()
    status, out, _ = provision("--count", "2", "--json")
    report = json.loads(out)
    assert status == 0 and report["summary"]["resumed"] == 1 + (third is not None) and report["summary"]["interrupted"] is False
    assert service.registered == ["HUM-000001", "HUM-000002", "HUM-000003"]
    assert registry.row("HUM-000002")["certificateId"] == certificate and begun.key_file.read_text() == key


def test_of_one_device_only_the_device_is_told(provision, registry, tmp_path):
    register(registry, "HUM-000001")
    status, out, err = provision("--serial", "HUM-000001")
    certificate = registry.row("HUM-000001")["certificateId"]
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"HUM-000001 is in as thing {TYPE}-HUM-000001, certificate {certificate}",
        f"its key and certificate: {tmp_path / 'keys/HUM-000001'}",
    ]


def test_a_device_that_was_in_already_is_told_as_that(provision, registry):
    register(registry, "HUM-000001")
    assert "is in as thing" in provision("--serial", "HUM-000001")[1]
    status, out, _ = provision("--serial", "HUM-000001")
    assert status == 0 and f"HUM-000001 was in already and has connected again as thing {TYPE}-HUM-000001" in out


@pytest.mark.parametrize(
    "is_in, command", [(False, "fleetgate doctor --claim factory-1 HUM-000001"), (True, "fleetgate doctor HUM-000001")]
)
def test_a_device_that_is_hung_up_on_is_told_who_says_why(provision, registry, monkeypatch, is_in, command):
    register(registry, "HUM-000001")
    assert not is_in or provision("--serial", "HUM-000001")[0] == 0

    def hang_up(self, seconds):
        raise ConnectionLost("devices.example hung up", "check the network")

    monkeypatch.setattr(Session, "connect", hang_up)
    monkeypatch.setattr(device.RetryPolicy, "claim_connections_for", lambda self, error: 1)
    monkeypatch.setattr(device.RetryPolicy, "pause", lambda self, attempt: 0.0)
    monkeypatch.setattr(threading.Event, "wait", lambda self, seconds=None, real=threading.Event.wait: real(self, 0.01))
    status, _, err = provision("--serial", "HUM-000001")
    assert status == 1 and f"by: {command}; if it finds nothing: check the network" in err


def test_who_comes_with_a_claim_that_the_file_retires_is_told(provision, registry, checkout):
    register(registry, "HUM-000001")
    file = checkout / "terraform/envs/moto.yaml"
    file.write_text(ENVIRONMENT.replace("factory-1: {}", "factory-1: {active: false}\n  factory-2: {}"), encoding="utf-8")
    _, _, err = provision("--serial", "HUM-000001", "--claim", "factory-1")
    assert "claim factory-1 is retired in " in err and err.count("-> use factory-2\n") == 1


def test_of_one_device_that_failed_only_the_failure_is_told(provision, service, registry):
    register(registry, "HUM-000001")
    service.before_register = lambda serial: (_ for _ in ()).throw(OSError(5, "disk full", "key.pem"))
    status, out, err = provision("--serial", "HUM-000001")
    assert (status, out) == (1, "")
    assert err.splitlines()[0] == "HUM-000001: key.pem: disk full" and err.count("\n") == 2


def test_of_several_devices_the_numbers_are_told(provision, registry):
    register(registry, "HUM-000001", "HUM-000002")
    status, out, err = provision("--count", "2")
    assert status == 0 and "devices a second" in out and "claim_connect" in out and "2/2" in err and "is in as" not in out


def test_nothing_is_provisioned_where_nothing_is_applied(provision, registry, monkeypatch):
    """The claim's files lie there: they outlive the fleet."""

    def describe_provisioning_template(self):  # which moto lacks
        raise ResourceNotFoundException

    monkeypatch.setattr(IoTResponse, "describe_provisioning_template", describe_provisioning_template, raising=False)
    registry._client.delete_table(TableName="fleetgate-device-registry")
    status, out, err = provision("--serial", "HUM-000001")
    assert (status, out) == (1, "") and err.endswith("environment moto: is not applied\n    -> run: make apply ENV=moto\n")


def test_a_device_whose_registry_was_made_anew_starts_over_and_keeps_its_old_key(provision, service, registry, tmp_path):
    """make destroy, make apply: the certificate is gone, and the identity on disk would be refused for ever."""
    register(registry, "HUM-000001")
    assert provision("--serial", "HUM-000001")[0] == 0
    old = IdentityFolder(tmp_path / "keys/HUM-000001").load()
    key = (tmp_path / "keys/HUM-000001/key.pem").read_text()

    registry.put(serialNumber="HUM-000001", deviceType=TYPE)  # without what the device wrote
    status, out, err = provision("--serial", "HUM-000001")
    assert status == 0 and "does not know its certificate" in err and "HUM-000001.old-1" in err
    new = IdentityFolder(tmp_path / "keys/HUM-000001").load()
    assert new.certificate_id == registry.row("HUM-000001")["certificateId"] != old.certificate_id
    assert new.certificate_id in out
    assert (tmp_path / "keys/HUM-000001.old-1/key.pem").read_text() == key
    status, _, err = provision("--serial", "HUM-000001")  # and from then on all is well
    assert status == 0 and "certificate" not in err and service.registered == ["HUM-000001", "HUM-000001"]


def test_a_device_that_the_registry_forgot_is_told_to_be_added_and_keeps_its_identity(provision, service, registry, tmp_path):
    register(registry, "HUM-000001")
    assert provision("--serial", "HUM-000001")[0] == 0
    registry._client.delete_item(TableName="fleetgate-device-registry", Key={"serialNumber": {"S": "HUM-000001"}})
    before = IdentityFolder(tmp_path / "keys/HUM-000001").load()
    status, _, err = provision("--serial", "HUM-000001")
    assert status == 1 and "is not in the registry any more" in err
    assert f"fleetgate registry add --env moto --type {TYPE} HUM-000001" in err
    assert IdentityFolder(tmp_path / "keys/HUM-000001").load() == before and service.registered == ["HUM-000001"]
    register(registry, "HUM-000001")
    assert provision("--serial", "HUM-000001")[0] == 0  # the remedy is one


def test_devices_that_come_in_by_count_start_over_too(provision, service, registry, tmp_path):
    register(registry, "HUM-000001", "HUM-000002")
    assert provision("--count", "2")[0] == 0
    register(registry, "HUM-000001", "HUM-000002")
    status, out, err = provision("--count", "2", "--parallel", "2", "--json")
    assert status == 0 and json.loads(out)["summary"]["resumed"] == 0 and err.count("old-1") == 2
    assert len(service.registered) == 4


def test_a_begun_device_goes_on_although_its_row_is_registered(provision, service, registry, tmp_path):
    """Power was lost before the gate was asked: its certificate is good, and nothing of it stands in the registry yet."""
    register(registry, "HUM-000001")
    service.before_register = lambda serial: (_ for _ in ()).throw(OSError(5, "power lost", "plug"))
    assert provision("--serial", "HUM-000001")[0] == 1
    begun = IdentityFolder(tmp_path / "keys/HUM-000001").load()
    service.before_register = lambda serial: None
    status, _, err = provision("--serial", "HUM-000001")
    assert status == 0 and "old-1" not in err
    assert registry.row("HUM-000001")["certificateId"] == begun.certificate_id
