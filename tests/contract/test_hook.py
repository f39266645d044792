"""What the hook answers, what the template declares and what the tools take are the same.

The hook shares no code with the tools, only its slice of the catalogue; here is what both know for themselves.
"""

from __future__ import annotations

import json

import pytest

import hook_events
import lambdas
from fleetgate import catalogue, decisions, package, smoke_hook, template
from fleetgate.catalogue import Catalogue

hook = lambdas.modules("provisioning_hook", "decision", "report", "settings")


def rules(fleet, types, folder):
    """The hook's rules from the slice that `fleetgate package` writes for `types`."""
    content = package.catalogue_slice("provisioning_hook", types, fleet.names)
    (folder / hook.settings.CATALOGUE).write_text(json.dumps(content))
    return hook.settings.load(lambdas.HOOK_ENVIRONMENT, folder).rules


def varied(types: Catalogue) -> Catalogue:
    """The same types, each with one extra attribute of its own and one that all but the first have."""
    kinds = {
        name: kind.model_copy(update={"attributes": {f"own.{number}": str(number), **({"shared": name} if number else {})}})
        for number, (name, kind) in enumerate(types.device_types.items())
    }
    return types.model_copy(update={"device_types": kinds})


def canary(name, kind):
    return hook_events.request(
        SerialNumber=kind.canary_serial,
        DeviceType=name,
        Manufacturer=kind.manufacturers[0],
        FirmwareVersion=kind.firmware.minimum,
    )


@pytest.mark.parametrize("change", [lambda types: types, varied], ids=["as it is", "with more attributes"])
def test_the_hook_gives_every_parameter_that_the_template_declares_and_no_other(change, fleet, tmp_path):
    """A parameter that nobody gives fails every registration; what AWS does with one that is not declared, nobody knows."""
    types = change(fleet.catalogue)
    body = template.render(types)
    declared = set(body["Parameters"]) - {template.CERTIFICATE_ID}
    known = rules(fleet, types, tmp_path)
    for name, kind in types.device_types.items():
        row = hook.decision.Row(name, "provisioning", None, None, None, 1_795_424_400_123)
        given = hook.decision.decide(canary(name, kind), known, lambda claim, row=row: hook.decision.Leased(row), 0).overrides
        assert set(given) == declared, name
        things = {key: given[value["Ref"]] for key, value in body["Resources"]["thing"]["Properties"]["AttributePayload"].items()}
        extras = {attribute: kind.attributes.get(attribute, "unknown") for attribute in types.extra_attributes}
        assert set(things) == {*catalogue.THING_ATTRIBUTES, *extras}
        assert extras.items() <= things.items()


def test_the_hook_counts_apart_what_the_smoke_checks_provoke_under_a_canarys_serial_and_nothing_else(fleet, tmp_path):
    """Whoever has a claim can say that serial: any other denial of his would stay out of every alarm."""
    known = rules(fleet, fleet.catalogue, tmp_path)
    name, kind = next(iter(fleet.catalogue.device_types.items()))
    apart = {
        reason
        for reason in (None, *hook.decision.Reason)
        for text in [hook.report.line(canary(name, kind), hook.decision.Decision(reason, None, {}), known, 0, None)]
        if decisions.is_canary(json.loads(text))
    }
    assert apart == {None, smoke_hook.MALFORMED, smoke_hook.TAKEN}


def test_the_hook_counts_the_canaries_of_the_catalogue_apart_and_nobody_else(fleet, tmp_path):
    """Each run of the smoke checks is refused on purpose; as a device's, that would count towards an alarm."""
    known = rules(fleet, fleet.catalogue, tmp_path)
    refused = hook.decision.Decision(hook.decision.Reason.MALFORMED_FIRMWARE, None, {})
    for name, kind in fleet.catalogue.device_types.items():
        event = canary(name, kind)
        event["parameters"]["FirmwareVersion"] = "no version"  # as the check hook.denies sends it
        assert hook.decision.check(event, known) in (hook.decision.Reason.MALFORMED_FIRMWARE, hook.decision.Reason.WRONG_TEMPLATE)
        assert decisions.is_canary(json.loads(hook.report.line(event, refused, known, 0, None)))
        event["parameters"]["SerialNumber"] = kind.canary_serial[:-1] + "9"
        assert not decisions.is_canary(json.loads(hook.report.line(event, refused, known, 0, None)))


def test_a_device_may_send_what_the_template_says_that_it_sends_and_nothing_else():
    known = {*template.DEVICE_PARAMETERS, template.CERTIFICATE_ID}
    assert known == hook.decision.KNOWN_PARAMETERS
    assert known - {"Location", template.CERTIFICATE_ID} == hook.decision.REQUIRED_PARAMETERS


@pytest.mark.parametrize(
    ("function", "written"), [("provisioning_hook", lambdas.HOOK_CATALOGUE), ("onboarding", lambdas.ONBOARDING_CATALOGUE)]
)
def test_the_slices_that_the_other_tests_use_have_the_form_of_the_real_ones(function, written, fleet):
    real = package.catalogue_slice(function, fleet.catalogue, fleet.names)
    assert written.keys() == real.keys()
    assert {key for kind in written["deviceTypes"].values() for key in kind} == {
        key for kind in real["deviceTypes"].values() for key in kind
    }
    values = [next(iter(found["deviceTypes"].values())) for found in (written, real)]
    assert {key: type(value) for key, value in values[0].items()} == {key: type(value) for key, value in values[1].items()}


VERSIONS = [
    ("1.2", (1, 2)),
    ("1.2.0", (1, 2)),
    ("1.2.0.0.0.0.0.0", (1, 2)),
    ("1.0.2", (1, 0, 2)),
    ("01.002", (1, 2)),
    ("1.10.0", (1, 10)),
    ("0", (0,)),
    ("0.0.0", (0,)),
    ("0.1", (0, 1)),
    ("999999999.1", (999999999, 1)),
    ("1234567890", None),
    ("1.2.3.4.5.6.7.8.9", None),
    ("", None),
    (".", None),
    ("1.", None),
    (".1", None),
    ("1..2", None),
    ("1,2", None),
    ("v1", None),
    ("1.2-rc1", None),
    ("1.2+7", None),
    ("-1", None),
    (" 1", None),
    ("1\n", None),
    ("\u0661", None),
    ("1.\u00b2", None),
]


@pytest.mark.parametrize(("text", "key"), VERSIONS, ids=[repr(text) for text, _ in VERSIONS])
def test_hook_and_tools_read_a_version_alike(text, key):
    assert hook.decision.version(text) == key
    assert catalogue.version_key(text) == key


def test_hook_and_tools_take_the_same_serials_and_attribute_values():
    """A serial that only the hook took could be enrolled and never be named to `fleetgate registry revoke`."""
    assert hook.decision._SERIAL.pattern == catalogue.SERIAL
    assert hook.decision._ATTRIBUTE_VALUE.pattern == catalogue.ATTRIBUTE_VALUE


def test_the_hook_refuses_a_slice_that_lacks_what_it_reads(fleet, tmp_path):
    content = package.catalogue_slice("provisioning_hook", fleet.catalogue, fleet.names)
    keys = list(content["deviceTypes"]["gateway"])
    for key in keys:
        broken = {"deviceTypes": {"gateway": {k: v for k, v in content["deviceTypes"]["gateway"].items() if k != key}}}
        (tmp_path / hook.settings.CATALOGUE).write_text(json.dumps(broken))
        with pytest.raises(hook.settings.SettingsError, match=f"gateway: '{key}' is missing"):
            hook.settings.load(lambdas.HOOK_ENVIRONMENT, tmp_path)
