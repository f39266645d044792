"""Whatever comes in: nothing but a valid request is allowed, and every answer keeps the contract."""

import contextlib
import io
import json
import string

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import hook_events
import lambdas
from fleetgate import template

TYPES = lambdas.HOOK_CATALOGUE["deviceTypes"]
KEYS = ["certificateId", "claimCertificateId", "certificatePem", "templateArn", "clientId", "parameters"]
PARAMETERS = ["SerialNumber", "DeviceType", "Manufacturer", "FirmwareVersion", "Location", "AWS::IoT::Certificate::Id"]
NAME_LETTERS = set(string.ascii_letters + string.digits + ":_-")
VALUE_LETTERS = set(string.ascii_letters + string.digits + "_.,@/:#=[]-")
OVERRIDES = {*template.DEVICE_PARAMETERS, *template.HOOK_PARAMETERS, "Extra_powerSource", "Extra_rack"}

EXAMPLES = 400

texts = st.text(st.characters(), max_size=30)  # half surrogate pairs too: JSON can hold them
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
PEM, CERTIFICATE_ID = hook_events.certificate("device")
GATEWAY = {"SerialNumber": "GW-7", "DeviceType": "gateway", "Manufacturer": "AcmeGateways", "FirmwareVersion": "2.1"}
KNOWN_CERTIFICATES = dict(hook_events.certificate(seed) for seed in ("device", "x"))
#: Texts one slip away from right, each where it belongs: the mistakes that a careless pattern lets through.
NEAR_MISSES = {
    "SerialNumber": ["TEMP-000001", "TEMP-000001\n", "TEMP-00000\u0661", "temp-000001", "GW-1", "GW-" + "1" * 61,
                     "GW-" + "1" * 62, "GW-1:1", "GW-\u0661"],
    "DeviceType": ["temperature-sensor", "temperature-sensor\n", "gateway"],
    "Manufacturer": ["AcmeSensors", "AcmeGateways", "SensorTech", "acmesensors"],
    "FirmwareVersion": ["1.9.0", "1.8.9", "1.10.0", "2", "2.0\n", "2.0-rc", "1.9.0.1", "1" * 10],
    "Location": ["hall-4", "hall 4", "a" * 800, "a" * 801, "", "\ud800"],
    "AWS::IoT::Certificate::Id": [CERTIFICATE_ID, CERTIFICATE_ID.upper(), hook_events.certificate("x")[1]],
    "certificateId": [CERTIFICATE_ID, CERTIFICATE_ID.upper(), hook_events.certificate("x")[1]],
    "claimCertificateId": [*lambdas.CLAIM_CERTIFICATES, lambdas.CLAIM_CERTIFICATES[0].upper(), CERTIFICATE_ID,
                           lambdas.CLAIM_CERTIFICATES[0][1:], ",".join(lambdas.CLAIM_CERTIFICATES)],
    "certificatePem": [PEM, PEM * 2, hook_events.certificate("x")[0]],
    "templateArn": [lambdas.TEMPLATE_ARN, lambdas.TEMPLATE_ARN + "2"],
}  # fmt: skip
ANY_TEXTS = [text for texts in NEAR_MISSES.values() for text in texts] + ["x" * 5000]


@st.composite
def bent(draw):
    """A valid request with up to three places changed, and now and then one taken away, added or filled with anything."""
    event = hook_events.request(**draw(st.sampled_from([{}, GATEWAY])))
    for _ in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from(sorted(NEAR_MISSES)))
        value = draw(st.sampled_from(NEAR_MISSES[key]))
        match draw(st.integers(0, 15)):
            case 0:
                key, value = draw(st.sampled_from(KEYS) | texts), draw(json_values)
            case 1:
                value = draw(st.sampled_from(ANY_TEXTS) | json_values)
            case 2:
                value = None
        target = event if key in KEYS else event.get("parameters")
        if not isinstance(target, dict):
            continue
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    return event


def is_valid(event):
    """The rules once more, in other words than the hook's: no regular expression, no shared helper."""
    if not isinstance(event, dict) or any(type(event.get(key)) is not str for key in KEYS[:5]):
        return False
    sent = event.get("parameters")
    if not isinstance(sent, dict) or any(type(value) is not str for value in sent.values()):
        return False
    if not set(PARAMETERS[:4]) <= set(sent) <= set(PARAMETERS):
        return False
    for key in ("certificateId", "claimCertificateId"):
        if len(event[key]) != 64 or set(event[key]) - set("0123456789abcdef"):
            return False
    if event["claimCertificateId"] not in lambdas.CLAIM_CERTIFICATES:
        return False
    # No generator comes upon a certificate by itself, so the valid ones are those that the tests made.
    if KNOWN_CERTIFICATES.get(event["certificatePem"]) != event["certificateId"]:
        return False
    if event["templateArn"] != lambdas.TEMPLATE_ARN:
        return False
    if sent.get("AWS::IoT::Certificate::Id", event["certificateId"]) != event["certificateId"]:
        return False
    kind = TYPES.get(sent["DeviceType"])
    if kind is None or sent["Manufacturer"] not in kind["manufacturers"]:
        return False
    serial, firmware = sent["SerialNumber"], sent["FirmwareVersion"]
    start, digits = ("TEMP-", len(serial) == 11) if sent["DeviceType"] == "temperature-sensor" else ("GW-", True)
    tail = serial.removeprefix(start)
    if not serial.startswith(start) or not tail or set(tail) - set(string.digits) or not digits:
        return False
    if len(serial) > 64:
        return False
    numbers = firmware.split(".")
    if len(numbers) > 8 or any(not 1 <= len(n) <= 9 or set(n) - set(string.digits) for n in numbers):
        return False
    if sent["DeviceType"] == "temperature-sensor" and len(numbers) != 3:
        return False
    minimum = [1, 9, 0] if sent["DeviceType"] == "temperature-sensor" else [2]
    width = max(len(numbers), len(minimum))
    if [int(n) for n in numbers] + [0] * (width - len(numbers)) < minimum + [0] * (width - len(minimum)):
        return False
    location = sent.get("Location", "unknown")
    return 0 < len(location) <= 800 and not set(location) - VALUE_LETTERS


class EmptyRegistry:
    """A registry in which every serial is registered and free."""

    def __init__(self):
        self.requests = 0

    def update_item(self, **request):
        self.requests += 1
        values = request["ExpressionAttributeValues"]
        for value in values.values():
            next(iter(value.values())).encode()  # as the wire would
        return {"Attributes": {"deviceType": values[":type"], "status": values[":provisioning"], "leasedAt": values[":now"]}}


@pytest.fixture(scope="module")
def hook(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lambdas.HOOK_ENVIRONMENT.items():
            patch.setenv(name, value)
        loaded = lambdas.deploy("provisioning_hook", tmp_path_factory.mktemp("hook"), lambdas.HOOK_CATALOGUE)
    loaded.handler.REGISTRY = EmptyRegistry()
    return loaded.handler


def answer_and_log(hook, event):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        answer = hook.handler(event, None)
    (line,) = output.getvalue().splitlines()
    return answer, line


def assert_contract(answer):
    assert set(answer) == {"allowProvisioning", "parameterOverrides"}
    assert type(answer["allowProvisioning"]) is bool
    overrides = answer["parameterOverrides"]
    assert set(overrides) == (OVERRIDES if answer["allowProvisioning"] else set())
    for name, value in overrides.items():
        assert type(value) is str
        assert 0 < len(value) <= (128 if name.endswith("Name") else 800)
        assert set(value) <= (NAME_LETTERS if name.endswith("Name") else VALUE_LETTERS)
    json.dumps(answer).encode()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(bent(), bent(), bent(), json_values))
def test_exactly_the_valid_requests_are_allowed_and_every_answer_keeps_the_contract(hook, event):
    requests = hook.REGISTRY.requests
    answer, line = answer_and_log(hook, event)
    assert_contract(answer)
    assert answer["allowProvisioning"] is is_valid(event)
    assert hook.REGISTRY.requests - requests == is_valid(event)
    record = json.loads(line)
    assert record["allowed"] is answer["allowProvisioning"]
    assert record["DeviceType"] in {*TYPES, "unknown"}
    assert "BEGIN CERTIFICATE" not in line
    assert len(line) < 3000


REASONS_WITHOUT_REGISTRY = [
    "malformed_event", "wrong_template", "unknown_claim", "certificate_mismatch", "unknown_device_type", "malformed_serial",
    "manufacturer_not_allowed", "malformed_firmware", "firmware_too_old", "malformed_location",
]  # fmt: skip


@pytest.mark.parametrize("reason", ["allowed", *REASONS_WITHOUT_REGISTRY])
def test_the_generator_comes_to_every_end_that_an_event_by_itself_can_have(reason, hook):
    """Otherwise the test above could be true of nothing but malformed events, or of nothing but valid ones."""
    untouched = [json.dumps(hook_events.request(**parameters)) for parameters in ({}, GATEWAY)]

    def ends_so(event):
        if json.dumps(event) in untouched:
            return False
        return is_valid(event) if reason == "allowed" else hook.decision.check(event, hook.SETTINGS.rules) == reason

    find(bent(), ends_so, settings=settings(max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate]))


def test_a_denial_after_an_allowance_is_not_tainted_by_it(hook):
    assert answer_and_log(hook, hook_events.request())[0]["allowProvisioning"] is True
    assert answer_and_log(hook, hook_events.request(Manufacturer="Nobody"))[0] == {
        "allowProvisioning": False,
        "parameterOverrides": {},
    }
