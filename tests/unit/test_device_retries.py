"""What a device does when the service has too much to do: the real way in, with the SDK's connection and service replaced."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
from awsiot import V2ServiceException

from fleetgate import device, identity, smoke_hook
from fleetgate.device import Device, DeviceProvisioner, Gate, Interrupted, RefusedByGate, Rejected, RetryPolicy
from fleetgate.identity import IdentityFolder
from fleetgate.mqtt import ConnectionLost, Refused, Throttled

PEM = smoke_hook.self_made_certificate()
DEVICE = Device("S-1", "gateway", "Acme", "1.0.0", thing_name="gateway-S-1")
GATE = Gate(None, "template", "claim-", Path("certificate.pem"), Path("key.pem"))
KEYS = SimpleNamespace(
    certificate_id=identity.certificate_id(PEM),
    certificate_pem=PEM,
    private_key="the key",
    certificate_ownership_token="the token",
)
RETRY = RetryPolicy(attempts=8, base_seconds=0.5, cap_seconds=4)


class Pauses(threading.Event):
    """A stop signal that takes down how long somebody waits for it, and lets nobody wait."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        return self.is_set()


class Service:
    """The provisioning service: answers each request from a list of its own, the last answer for ever."""

    def __init__(self, create=(), register=(), connect=(), as_thing=None):
        self.as_thing = as_thing
        self.answers = {"create": [*create, KEYS], "register": [*register, SimpleNamespace(thing_name="gateway-S-1")]}
        self.connects = list(connect)
        self.asked = []

    def create_keys_and_certificate(self, request):
        return self._answer("create")

    def register_thing(self, request):
        return self._answer("register")

    def _answer(self, what):
        self.asked.append(what)
        answers = self.answers[what]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        future = Future()
        if isinstance(answer, int):
            said = SimpleNamespace(status_code=answer, error_code="any", error_message="any")
            future.set_exception(V2ServiceException("any", None, said))
        elif isinstance(answer, str):
            said = SimpleNamespace(status_code=400, error_code=answer, error_message="any")
            future.set_exception(V2ServiceException("any", None, said))
        elif isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


@pytest.fixture
def provision(monkeypatch, tmp_path):
    def run(service, retry=RETRY, stop=None):
        class Session:
            client = None

            def __init__(self, _, client_id="", *__):
                self.client_id = client_id

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def close(self):
                pass

            def connect(self, seconds):
                if service.connects:
                    raise service.connects.pop(0)
                if self.client_id == DEVICE.thing_name and service.as_thing is not None:
                    raise service.as_thing

            def wait(self, future, what, seconds):
                return future.result(0)

        monkeypatch.setattr(device, "MqttSession", Session)
        monkeypatch.setattr(device, "IotIdentityClientV2", lambda client, options: service)
        stop = stop or Pauses()
        provisioner = DeviceProvisioner(GATE, DEVICE, IdentityFolder(tmp_path / "S-1"), retry, stop)
        return provisioner, stop.seconds

    return run


@pytest.mark.parametrize("step", ["create", "register"])
@pytest.mark.parametrize("times", [1, 7])
def test_a_throttled_request_is_tried_again_until_it_is_accepted(provision, step, times):
    service = Service(**{step: [429] * times})
    provisioner, pauses = provision(service)
    found, resumed = provisioner.register()
    assert found.thing_name == "gateway-S-1" and not resumed
    assert service.asked.count(step) == times + 1 and len(service.asked) == times + 2
    assert len(pauses) == times == provisioner.record.retries
    assert all(0 <= pause <= RETRY.ceiling(n) for n, pause in enumerate(pauses))


@pytest.mark.parametrize("step", ["create", "register"])
def test_a_device_that_is_throttled_for_ever_gives_up_after_the_last_attempt_and_keeps_what_it_has(provision, tmp_path, step):
    service = Service(**{step: [429] * 100})
    provisioner, pauses = provision(service)
    with pytest.raises(Rejected) as failed:
        provisioner.register()
    assert failed.value.status == 429 and failed.value.remedy
    assert service.asked.count(step) == RETRY.attempts == len(pauses) + 1
    kept = IdentityFolder(tmp_path / "S-1").load()
    assert (
        (kept is None)
        if step == "create"
        else (kept.token == "the token" and (tmp_path / "S-1/key.pem").read_text() == "the key")
    )


def test_the_pauses_of_many_devices_spread_over_the_whole_of_each_ceiling(provision, tmp_path):
    pauses = []
    for _ in range(200):
        stop = Pauses()
        provisioner, seconds = provision(Service(create=[429] * 6), stop=stop)
        provisioner._create(device.IotIdentityClientV2(None, None), device.MqttSession(None))
        pauses.append(seconds)
    for attempt, ceiling in enumerate([0.5, 1, 2, 4, 4, 4]):
        drawn = [seconds[attempt] for seconds in pauses]
        assert 0 <= min(drawn) < 0.1 * ceiling and 0.9 * ceiling < max(drawn) <= ceiling
        assert 0.35 * ceiling < sum(drawn) / len(drawn) < 0.65 * ceiling


def test_a_refusal_of_the_gate_is_final(provision):
    service = Service(register=[403])
    provisioner, pauses = provision(service)
    with pytest.raises(RefusedByGate):
        provisioner.register()
    assert service.asked == ["create", "register"] and pauses == []


def test_a_throttled_connect_waits_a_second_more_than_the_back_off(provision):
    """AWS takes one connect a second from the same client id."""
    provisioner, pauses = provision(Service(connect=[Throttled("busy", "later")] * 3))
    provisioner.register()
    assert len(pauses) == 3 and all(1 <= pause <= 1 + RETRY.ceiling(n) for n, pause in enumerate(pauses))


def test_a_stop_during_the_back_off_ends_the_device_before_its_next_attempt(provision):
    class Stopped(Pauses):
        def wait(self, timeout=None):
            self.set()
            return super().wait(timeout)

    service = Service(register=[429] * 100)
    provisioner, _ = provision(service, stop=Stopped())
    with pytest.raises(Interrupted):
        provisioner.register()
    assert service.asked == ["create", "register"]


@pytest.mark.parametrize("step", ["create", "register"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_device_whose_connection_is_lost_connects_again_and_goes_on_with_what_it_has(provision, tmp_path, step, times):
    service = Service(**{step: [ConnectionLost("lost", "look")] * times})
    provisioner, pauses = provision(service)
    found, resumed = provisioner.register()
    assert found.thing_name == "gateway-S-1" and not resumed and len(pauses) == times == provisioner.record.retries
    assert service.asked.count(step) == times + 1 and len(service.asked) == times + 2


@pytest.mark.parametrize("error, asked", [(ConnectionLost("lost", "look"), RETRY.claim_connections), (Refused("no", "look"), 1)])
def test_a_broker_that_always_hangs_up_is_believed_after_a_while_and_one_that_says_no_at_once(provision, error, asked):
    service = Service(register=[error] * 100)
    provisioner, _ = provision(service)
    with pytest.raises(type(error)):
        provisioner.register()
    assert service.asked == ["create", *["register"] * asked]


@pytest.mark.parametrize("answer", [400, "InvalidTemplate"])
def test_a_bad_request_that_may_pass_does_not_cost_a_device_its_certificate(provision, tmp_path, answer):
    """The serial may be leased to it by now, and a second certificate would be refused."""
    service = Service(register=[answer] * 100)
    for _ in range(2):
        provisioner, _ = provision(service)
        with pytest.raises(Rejected):
            provisioner.register()
    assert service.asked.count("create") == 1 and IdentityFolder(tmp_path / "S-1").load().token == "the token"


UNKNOWN_TOKEN = "InvalidCertificateOwnershipToken"


def test_a_token_that_was_used_up_by_an_answer_that_was_never_heard_is_no_reason_to_start_over(provision, tmp_path):
    """If AWS takes a token only once: the certificate is let in as the thing, so the first RegisterThing has passed."""
    service = Service(register=[ConnectionLost("lost", "look"), *[UNKNOWN_TOKEN] * 3])
    provisioner, _ = provision(service)
    found, resumed = provisioner.register()
    assert (found.thing_name, found.token, resumed) == ("gateway-S-1", None, False)
    assert service.asked.count("create") == 1 and IdentityFolder(tmp_path / "S-1").load() == found


def test_a_token_that_the_service_has_forgotten_is_a_new_start(provision, tmp_path):
    """Its certificate is let in nowhere."""
    service = Service(register=[ConnectionLost("lost", "look"), *[UNKNOWN_TOKEN] * 3], as_thing=Refused("no", "look"))
    provisioner, _ = provision(service)
    found, _ = provisioner.register()
    assert found.thing_name == "gateway-S-1" and service.asked.count("create") == 2
