"""Who is let in and who is not: the decision table of the provisioning hook, without any I/O."""

import dataclasses
import json

import pytest

import hook_events
import lambdas

hook = lambdas.modules("provisioning_hook", "decision", "settings")
decision = hook.decision
Reason = decision.Reason

NOW = 1_795_424_400_123  # 2026-11-23T09:00:00Z and a bit
ID = hook_events.certificate("device")[1]
OTHER_ID = hook_events.certificate("other")[1]


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hook")
    (folder / "catalogue.json").write_text(json.dumps(lambdas.HOOK_CATALOGUE))
    return hook.settings.load(lambdas.HOOK_ENVIRONMENT, folder).rules


def row(**fields):
    known = {
        "device_type": hook_events.TYPE,
        "status": "provisioning",
        "manufacturer": "AcmeSensors",
        "location": None,
        "certificate_id": ID,
        "leased_at": NOW,
    }
    return decision.Row(**(known | fields))


def decide(event, rules, outcome=None, asked=None):
    def lease(claim):
        if asked is not None:
            asked.append(claim)
        return outcome or decision.Leased(row())

    return decision.decide(event, rules, lease, NOW)


def changed(**fields):
    return hook_events.request() | fields


GATEWAY = {"SerialNumber": "GW-1", "DeviceType": "gateway", "Manufacturer": "AcmeGateways", "FirmwareVersion": "2.0"}
PEM, _ = hook_events.certificate("device")
BEGIN, *BODY, END = PEM.splitlines()
CERTIFICATE_PARAMETER = "AWS::IoT::Certificate::Id"

REFUSED_BY_ITSELF = [
    ("not an object", ["a list"], Reason.MALFORMED_EVENT),
    ("nothing", None, Reason.MALFORMED_EVENT),
    ("an empty object", {}, Reason.MALFORMED_EVENT),
    ("no parameters", {k: v for k, v in changed().items() if k != "parameters"}, Reason.MALFORMED_EVENT),
    ("parameters are a list", changed(parameters=[]), Reason.MALFORMED_EVENT),
    ("no parameter at all", changed(parameters={}), Reason.MALFORMED_EVENT),
    ("certificate id is a number", changed(certificateId=1), Reason.MALFORMED_EVENT),
    ("certificate id in capitals", changed(certificateId=ID.upper()), Reason.MALFORMED_EVENT),
    ("certificate id too short", changed(certificateId=ID[:-1]), Reason.MALFORMED_EVENT),
    ("certificate id and a newline", changed(certificateId=f"{ID}\n"), Reason.MALFORMED_EVENT),
    ("claim certificate id missing", changed(claimCertificateId=None), Reason.MALFORMED_EVENT),
    ("claim certificate id not hexadecimal", changed(claimCertificateId="g" * 64), Reason.MALFORMED_EVENT),
    ("client id missing", changed(clientId=None), Reason.MALFORMED_EVENT),
    ("PEM is not text", changed(certificatePem=["-----BEGIN"]), Reason.MALFORMED_EVENT),
    ("an unknown parameter", hook_events.request(PolicyName="admin"), Reason.MALFORMED_EVENT),
    ("an override's name as parameter", hook_events.request(ThingName="other"), Reason.MALFORMED_EVENT),
    ("serial missing", hook_events.request(SerialNumber=None), Reason.MALFORMED_EVENT),
    ("serial is a number", hook_events.request(SerialNumber=1), Reason.MALFORMED_EVENT),
    ("serial is true", hook_events.request(SerialNumber=True), Reason.MALFORMED_EVENT),
    ("location is an object", hook_events.request(Location={"hall": 4}), Reason.MALFORMED_EVENT),
    ("another template", changed(templateArn=lambdas.TEMPLATE_ARN + "2"), Reason.WRONG_TEMPLATE),
    ("the template's name only", changed(templateArn="fleetgate-fleet"), Reason.WRONG_TEMPLATE),
    ("a claim that is not ours, or is retired", changed(claimCertificateId="a" * 64), Reason.UNKNOWN_CLAIM),
    ("the certificate itself as its claim", changed(claimCertificateId=ID), Reason.UNKNOWN_CLAIM),
    ("another certificate's PEM", changed(certificatePem=hook_events.certificate("x")[0]), Reason.CERTIFICATE_MISMATCH),
    ("another certificate's id", changed(certificateId=OTHER_ID), Reason.CERTIFICATE_MISMATCH),
    ("injected id differs", hook_events.request(**{CERTIFICATE_PARAMETER: OTHER_ID}), Reason.CERTIFICATE_MISMATCH),
    ("injected id in capitals", hook_events.request(**{CERTIFICATE_PARAMETER: ID.upper()}), Reason.CERTIFICATE_MISMATCH),
    (
        "another block's end",
        changed(certificatePem=PEM.replace("END CERTIFICATE", "END PUBLIC KEY")),
        Reason.CERTIFICATE_MISMATCH,
    ),
    ("PEM too long for a certificate", hook_events.request("long", size=60_000), Reason.CERTIFICATE_MISMATCH),
    ("PEM empty", changed(certificatePem=""), Reason.CERTIFICATE_MISMATCH),
    ("PEM twice", changed(certificatePem=PEM + PEM), Reason.CERTIFICATE_MISMATCH),
    ("text behind the PEM", changed(certificatePem=PEM + "x"), Reason.CERTIFICATE_MISMATCH),
    ("text before the PEM", changed(certificatePem="x\n" + PEM), Reason.CERTIFICATE_MISMATCH),
    ("blanks in the base64", changed(certificatePem=PEM.replace("\n", " \n")), Reason.CERTIFICATE_MISMATCH),
    ("a header in the PEM", changed(certificatePem="\n".join([BEGIN, "A: b", *BODY, END])), Reason.CERTIFICATE_MISMATCH),
    ("base64 cut off", changed(certificatePem="\n".join([BEGIN, *BODY, "A", END])), Reason.CERTIFICATE_MISMATCH),
    ("data behind the padding", changed(certificatePem="\n".join([BEGIN, *BODY, "QQ==", END])), Reason.CERTIFICATE_MISMATCH),
    ("PEM not ASCII", changed(certificatePem=PEM.replace("A", "\u0410", 1)), Reason.CERTIFICATE_MISMATCH),
    ("half a surrogate pair", changed(certificatePem="\ud800"), Reason.CERTIFICATE_MISMATCH),
    (
        "no base64, and the id of nothing",
        changed(
            certificatePem=f"{BEGIN}\n\n{END}\n",
            certificateId="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        Reason.CERTIFICATE_MISMATCH,
    ),
    ("PEM of a megabyte", changed(certificatePem=BEGIN + "\n" + "A" * 1_000_000 + "\n" + END), Reason.CERTIFICATE_MISMATCH),
    ("unknown type", hook_events.request(DeviceType="toaster"), Reason.UNKNOWN_DEVICE_TYPE),
    ("type in capitals", hook_events.request(DeviceType="Temperature-Sensor"), Reason.UNKNOWN_DEVICE_TYPE),
    ("type and a newline", hook_events.request(DeviceType="temperature-sensor\n"), Reason.UNKNOWN_DEVICE_TYPE),
    ("type empty", hook_events.request(DeviceType=""), Reason.UNKNOWN_DEVICE_TYPE),
    ("serial of another form", hook_events.request(SerialNumber="GW-1"), Reason.MALFORMED_SERIAL),
    ("serial and a newline", hook_events.request(SerialNumber="TEMP-000001\n"), Reason.MALFORMED_SERIAL),
    ("text behind the serial", hook_events.request(**GATEWAY | {"SerialNumber": "GW-1x"}), Reason.MALFORMED_SERIAL),
    ("text before the serial", hook_events.request(SerialNumber="xTEMP-000001"), Reason.MALFORMED_SERIAL),
    ("Arabic digits", hook_events.request(SerialNumber="TEMP-00000\u0661"), Reason.MALFORMED_SERIAL),
    (
        "Arabic digits and \\d in the catalogue",
        hook_events.request(SerialNumber="GW-\u0661", DeviceType="gateway"),
        Reason.MALFORMED_SERIAL,
    ),
    (
        "serial too long, and no bound in the catalogue",
        hook_events.request(SerialNumber="GW-" + "1" * 62, DeviceType="gateway"),
        Reason.MALFORMED_SERIAL,
    ),
    (
        "a colon, and the catalogue allows it",
        hook_events.request(SerialNumber="GW-1:1", DeviceType="gateway"),
        Reason.MALFORMED_SERIAL,
    ),
    ("manufacturer not of this type", hook_events.request(Manufacturer="AcmeGateways"), Reason.MANUFACTURER_NOT_ALLOWED),
    ("manufacturer in capitals", hook_events.request(Manufacturer="ACMESENSORS"), Reason.MANUFACTURER_NOT_ALLOWED),
    ("firmware not of the pattern", hook_events.request(FirmwareVersion="1.10"), Reason.MALFORMED_FIRMWARE),
    ("firmware with a suffix", hook_events.request(FirmwareVersion="1.10.0-rc1"), Reason.MALFORMED_FIRMWARE),
    ("firmware and a newline", hook_events.request(FirmwareVersion="1.10.0\n"), Reason.MALFORMED_FIRMWARE),
    ("firmware with build data", hook_events.request(FirmwareVersion="1.10.0+7"), Reason.MALFORMED_FIRMWARE),
    ("a number without end", hook_events.request(FirmwareVersion="1.10." + "9" * 5000), Reason.MALFORMED_FIRMWARE),
    (
        "a pattern that allows everything",
        hook_events.request(SerialNumber="GW-1", DeviceType="gateway", Manufacturer="AcmeGateways", FirmwareVersion="2.0 (new)"),
        Reason.MALFORMED_FIRMWARE,
    ),
    ("firmware too old", hook_events.request(FirmwareVersion="1.8.99"), Reason.FIRMWARE_TOO_OLD),
    ("location empty", hook_events.request(Location=""), Reason.MALFORMED_LOCATION),
    ("location with a space", hook_events.request(Location="Building A"), Reason.MALFORMED_LOCATION),
    ("location and a newline", hook_events.request(Location="hall\n"), Reason.MALFORMED_LOCATION),
    ("location with a plus", hook_events.request(Location="a+b"), Reason.MALFORMED_LOCATION),
    ("location too long", hook_events.request(Location="a" * 801), Reason.MALFORMED_LOCATION),
]


@pytest.mark.parametrize(("event", "reason"), [c[1:] for c in REFUSED_BY_ITSELF], ids=[c[0] for c in REFUSED_BY_ITSELF])
def test_a_request_that_is_wrong_by_itself_is_refused_without_asking_the_registry(event, reason, rules):
    asked = []
    refused = decide(event, rules, asked=asked)
    assert refused.refusal is reason
    assert refused.answer() == {"allowProvisioning": False, "parameterOverrides": {}}
    assert asked == []


@pytest.mark.parametrize("claim", [ID, hook_events.CLAIM_CERTIFICATE], ids=["by itself", "by another claim"])
def test_a_claim_never_becomes_a_devices_own_certificate(claim, rules):
    """One key of a whole factory; nothing but the list of claims is wrong with this event."""
    claims = dataclasses.replace(rules, claim_certificate_ids=rules.claim_certificate_ids | {ID})
    assert decide(changed(), rules).refusal is None
    assert decide(changed(claimCertificateId=claim), claims).refusal is Reason.UNKNOWN_CLAIM


class Witness:
    """A pattern of the catalogue that matches everything and remembers what it was shown."""

    def __init__(self):
        self.shown = []

    def fullmatch(self, text):
        self.shown.append(text)
        return True


@pytest.mark.parametrize(
    ("name", "pattern", "unit", "longest"),
    [("SerialNumber", "serial", "a", 64), ("FirmwareVersion", "firmware", "999999999.", 79)],
)
def test_a_pattern_of_the_catalogue_sees_only_short_text(name, pattern, unit, longest, rules):
    """However slow it is, a device cannot feed it: AWS lets it send 4096 characters."""
    witness = Witness()
    kind = dataclasses.replace(rules.device_types[hook_events.TYPE], **{pattern: witness})
    watched = dataclasses.replace(rules, device_types={hook_events.TYPE: kind})
    for length in (1, longest, longest + 1, 4096):
        decide(hook_events.request(**{name: (unit * length)[:length]}), watched)
    assert [len(text) for text in witness.shown] == [1, longest]


def test_every_reason_has_a_case():
    covered = {reason for _, _, reason in REFUSED_BY_ITSELF} | {reason for _, _, reason in REFUSED_BY_REGISTRY}
    assert covered | {Reason.REGISTRY_UNAVAILABLE} == set(Reason)


IN_ORDER = [
    (Reason.MALFORMED_EVENT, ("certificateId",), "short"),
    (Reason.WRONG_TEMPLATE, ("templateArn",), "other"),
    (Reason.UNKNOWN_CLAIM, ("claimCertificateId",), "a" * 64),
    (Reason.CERTIFICATE_MISMATCH, ("certificatePem",), "other"),
    (Reason.UNKNOWN_DEVICE_TYPE, ("parameters", "DeviceType"), "toaster"),
    (Reason.MALFORMED_SERIAL, ("parameters", "SerialNumber"), "TEMP-1"),
    (Reason.MANUFACTURER_NOT_ALLOWED, ("parameters", "Manufacturer"), "Nobody"),
    (Reason.FIRMWARE_TOO_OLD, ("parameters", "FirmwareVersion"), "0.0.1"),
    (Reason.MALFORMED_LOCATION, ("parameters", "Location"), "a b"),
]


@pytest.mark.parametrize("first", range(len(IN_ORDER)), ids=[reason.value for reason, _, _ in IN_ORDER])
def test_of_several_mistakes_the_first_check_names_its_own(first, rules):
    event = hook_events.request()
    for _, (*path, key), value in IN_ORDER[first:]:
        target = event[path[0]] if path else event
        target[key] = value
    assert decide(event, rules).refusal is IN_ORDER[first][0]


@pytest.mark.parametrize(
    "event",
    [
        hook_events.request(),
        hook_events.request(**{CERTIFICATE_PARAMETER: ID}),
        changed(certificatePem=PEM.rstrip("\n")),
        changed(certificatePem=PEM.replace("\n", "\r\n")),
        changed(somethingNew={"of": "AWS"}),
        changed(claimCertificateId=lambdas.CLAIM_CERTIFICATES[1]),
        hook_events.request(FirmwareVersion="1.9.0"),
        hook_events.request(FirmwareVersion="01.9.0"),
        hook_events.request(Manufacturer="SensorTech"),
        hook_events.request(**GATEWAY | {"SerialNumber": "GW-" + "1" * 61}),
        hook_events.request(Location="a" * 800),
        hook_events.request(Location="https://h:443/p#f=[1],2@x_y-z."),
    ],
    ids=[
        "as it is",
        "with the injected certificate id",
        "PEM without a last newline",
        "PEM with CRLF",
        "a new key of the service",
        "the other claim",
        "the minimum firmware",
        "leading zero",
        "the other manufacturer",
        "the longest serial",
        "the longest location",
        "every character of an attribute",
    ],
)
def test_a_valid_request_is_allowed(event, rules):
    assert decide(event, rules).refusal is None


def test_the_real_event_of_the_service_is_allowed(rules):
    assert decide(lambdas.event("provisioning_hook"), rules).refusal is None


def test_an_allowed_device_gets_a_value_for_every_parameter_of_the_template(rules):
    asked = []
    allowed = decide(hook_events.request(Location="hall-4"), rules, asked=asked)
    assert allowed.answer() == {
        "allowProvisioning": True,
        "parameterOverrides": {
            "ThingName": "temperature-sensor-TEMP-000001",
            "ThingTypeName": "temperature-sensor",
            "GroupName": "temperature-sensor-devices",
            "PolicyName": "fleetgate-temperature-sensor",
            "SerialNumber": "TEMP-000001",
            "DeviceType": "temperature-sensor",
            "FirmwareVersion": "1.10.0",
            "Manufacturer": "AcmeSensors",
            "Location": "hall-4",
            "ProvisioningTime": "2026-11-23T09:00:00Z",
            "Extra_powerSource": "battery",
            "Extra_rack": "unknown",
        },
    }
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("registry", "device", "expected"),
    [("hall-1", "hall-2", "hall-1"), ("hall-1", None, "hall-1"), (None, "hall-2", "hall-2"), (None, None, "unknown")],
    ids=["both", "registry only", "device only", "neither"],
)
def test_the_registrys_location_wins(registry, device, expected, rules):
    outcome = decision.Leased(row(location=registry))
    assert decide(hook_events.request(Location=device), rules, outcome).overrides["Location"] == expected


def test_a_location_of_the_registry_that_aws_would_not_take_raises(rules):
    with pytest.raises(ValueError, match="TEMP-000001 has a location"):
        decide(hook_events.request(), rules, decision.Leased(row(location="Building A")))


def held(**fields):
    return decision.Held(row(**fields))


OTHERS = {"certificate_id": OTHER_ID}
REFUSED_BY_REGISTRY = [
    ("no row", decision.Held(None), Reason.UNKNOWN_SERIAL),
    ("another type's serial", held(device_type="gateway", status="registered"), Reason.WRONG_DEVICE_TYPE),
    ("another type, same certificate", held(device_type="gateway"), Reason.WRONG_DEVICE_TYPE),
    ("another manufacturer's serial", held(manufacturer="SensorTech", status="registered"), Reason.WRONG_MANUFACTURER),
    ("another manufacturer, same certificate", held(manufacturer="SensorTech"), Reason.WRONG_MANUFACTURER),
    ("revoked", held(status="revoked"), Reason.REVOKED),
    ("revoked, and everything else wrong", held(status="revoked", device_type="gateway", **OTHERS), Reason.REVOKED),
    ("provisioned with another certificate", held(status="provisioned", **OTHERS), Reason.ALREADY_PROVISIONED),
    ("active with another certificate", held(status="active", **OTHERS), Reason.ALREADY_PROVISIONED),
    ("leased this moment", held(leased_at=NOW, **OTHERS), Reason.RACED),
    ("leased 4.999 s ago", held(leased_at=NOW - 4_999, **OTHERS), Reason.RACED),
    ("leased by a clock that is ahead", held(leased_at=NOW + 300, **OTHERS), Reason.RACED),
    ("leased 5 s ago", held(leased_at=NOW - 5_000, **OTHERS), Reason.LEASE_RUNNING),
    ("leased at no known time", held(leased_at=None, **OTHERS), Reason.LEASE_RUNNING),
]


@pytest.mark.parametrize(("outcome", "reason"), [c[1:] for c in REFUSED_BY_REGISTRY], ids=[c[0] for c in REFUSED_BY_REGISTRY])
def test_the_row_that_stood_in_the_way_gives_the_reason(outcome, reason, rules):
    refused = decide(hook_events.request(), rules, outcome)
    assert refused.refusal is reason
    assert refused.answer() == {"allowProvisioning": False, "parameterOverrides": {}}


@pytest.mark.parametrize("status", ["provisioning", "provisioned", "active"])
def test_the_same_certificate_is_allowed_again_with_the_same_answer(status, rules):
    earlier = NOW - 1_000_000
    first = decide(hook_events.request(), rules, decision.Leased(row(leased_at=earlier)))
    again = decide(hook_events.request(), rules, held(status=status, leased_at=earlier))
    assert again.refusal is None
    assert again.answer() == first.answer()


@pytest.mark.parametrize("status", ["registered", "retired", None])
def test_a_row_that_explains_nothing_raises_instead_of_guessing(status, rules):
    with pytest.raises(ValueError, match=r"TEMP-000001 has the status"):
        decide(hook_events.request(), rules, held(status=status))


def test_an_unavailable_registry_is_a_denial(rules):
    refused = decide(hook_events.request(), rules, decision.Unavailable())
    assert refused.refusal is Reason.REGISTRY_UNAVAILABLE
    assert refused.answer() == {"allowProvisioning": False, "parameterOverrides": {}}


def test_each_answer_is_a_new_one(rules):
    allowed = decide(hook_events.request(), rules)
    allowed.answer()["parameterOverrides"]["ThingName"] = "other"
    assert allowed.answer()["parameterOverrides"]["ThingName"] == hook_events.THING


@pytest.mark.parametrize(
    ("smaller", "greater"),
    [("1.9", "1.10"), ("1.9.9", "2"), ("0.0.1", "0.1"), ("1.2", "1.2.0.1"), ("999999999", "999999999.1")],
)
def test_versions_compare_as_numbers(smaller, greater):
    assert decision.version(smaller) < decision.version(greater)


@pytest.mark.parametrize(("one", "other"), [("1.2", "1.2.0"), ("01.02", "1.2"), ("0", "0.0"), ("1.0.0.0.0.0.0.0", "1")])
def test_versions_that_are_spelled_differently_can_be_equal(one, other):
    assert decision.version(one) == decision.version(other)


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".1", "1..2", "v1", "1.2-rc1", "1,2", " 1", "1\n", "-1", "\u0661", "1.2.3.4.5.6.7.8.9", "1" * 10]
)
def test_what_is_not_numbers_between_dots_is_no_version(text):
    assert decision.version(text) is None


def test_requests_keep_certificate_and_parameters_out_of_their_repr():
    text = repr(decision.parse(hook_events.request(Location="secret-hall")))
    assert "BEGIN" not in text
    assert "secret-hall" not in text
    assert ID in text
