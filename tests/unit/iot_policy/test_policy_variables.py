"""The table of documented variables."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import botocore
import pytest

from fleetgate.iot_policy import variables
from fleetgate.iot_policy.variables import Kind, canonical, known, nearest


@pytest.mark.parametrize(
    "name, kind",
    [
        ("iot:ClientId", Kind.CONNECTION),
        ("aws:SourceIp", Kind.CONNECTION),
        ("iot:DomainName", Kind.CONNECTION),
        ("iot:Connection.Thing.ThingName", Kind.THING),
        ("iot:Connection.Thing.IsAttached", Kind.THING),
        ("iot:Connection.Thing.Attributes[site]", Kind.THING),
        ("iot:Connection.Thing.Attributes[a.b:c]", Kind.THING),
        ("iot:Certificate.Subject.CommonName", Kind.CERTIFICATE),
        ("iot:CertificateId", Kind.CERTIFICATE),
        ("iot:Certificate.Subject.Country.0", Kind.CERTIFICATE),
        ("iot:Certificate.Subject.Country.1", Kind.CERTIFICATE),
        ("iot:Certificate.Issuer.Organization.List", Kind.CERTIFICATE),
        ("iot:Certificate.Subject.AlternativeName.DNSName", Kind.CERTIFICATE),
        ("iot:Certificate.SerialNumber", Kind.CERTIFICATE),
        ("iot:Certificate.AvailableKeys", Kind.CERTIFICATE),
    ],
)
def test_a_documented_variable_is_known(name, kind):
    found = known(name)
    assert found is not None and found.kind is kind and found.mqtt_only is (kind is Kind.THING or name == "iot:ClientId")


@pytest.mark.parametrize(
    "name",
    [
        "iot:Thing.ThingName",
        "iot:clientid",
        "iot:Connection.Thing.Attributes",
        "iot:Connection.Thing.Attributes[]",
        "iot:Connection.Thing.Attributes[a b]",
        "iot:Certificate.Subject.Country.01",
        "iot:Certificate.Subject.Country.x",
        "iot:Certificate.SerialNumber.1",
        "iot:ConnectAttributes",
        "aws:username",
        "",
    ],
)
def test_anything_else_is_not(name):
    assert known(name) is None


@pytest.mark.parametrize(
    "name, meant",
    [
        ("iot:Thing.ThingName", "iot:Connection.Thing.ThingName"),
        ("credentials-iot:ThingName", "iot:Connection.Thing.ThingName"),
        ("iot:Connection.Thing.Thingname", "iot:Connection.Thing.ThingName"),
        ("iot:ClientID", "iot:ClientId"),
        ("iot:Cliend", "iot:ClientId"),
        ("iot:Certificate.CommonName", "iot:Certificate.Subject.CommonName"),
        ("iot:connection.thing.attributes[Site]", "iot:Connection.Thing.Attributes[Site]"),
        ("aws:username", None),
        ("x", None),
    ],
)
def test_a_misspelt_variable_is_led_to_the_one_that_was_meant(name, meant):
    assert nearest(name) == meant


def test_case_is_mended_but_never_inside_of_an_attributes_name():
    assert canonical("IOT:CONNECTION.THING.ATTRIBUTES[Site]") == "iot:Connection.Thing.Attributes[Site]"
    assert canonical("iot:certificate.subject.country.LIST") == "iot:Certificate.Subject.Country.List"
    assert canonical("my:Own") == "my:Own"


@pytest.mark.parametrize("name", [*variables.VARIABLES, *variables.CONNECT_KEYS])
def test_every_name_is_its_own_canonical_form_and_found_in_lower_case(name):
    assert canonical(name) == name == canonical(name.lower())


def test_only_names_without_special_characters_are_called_safe():
    """A value that may hold `/`, `+`, `#`, `*` or `?` lets its owner leave his own topic level."""
    safe = {name for name, variable in variables.VARIABLES.items() if not variable.special}
    assert {"iot:Connection.Thing.ThingName", "iot:Connection.Thing.ThingTypeName"} <= safe
    assert "iot:ClientId" not in safe and "iot:Certificate.Subject.CommonName" not in safe
    attribute = known("iot:Connection.Thing.Attributes[site]")
    assert attribute is not None and attribute.special == {"/", "#"}


@pytest.mark.parametrize(
    "variable, shape, model",
    [
        (known("iot:Connection.Thing.ThingName"), "ThingName", "iot/2015-05-28"),
        (known("iot:Connection.Thing.ThingTypeName"), "ThingTypeName", "iot/2015-05-28"),
        (known("iot:Connection.Thing.Attributes[x]"), "AttributeValue", "iot/2015-05-28"),
    ],
    ids=["ThingName", "ThingTypeName", "AttributeValue"],
)
def test_the_characters_of_a_value_are_those_of_the_service_model(variable, shape, model):
    path = Path(botocore.__file__).parent / "data" / model / "service-2.json.gz"
    documented = json.loads(gzip.decompress(path.read_bytes()))["shapes"][shape]
    for character in map(chr, range(256)):
        ours = re.fullmatch(variable.characters, character) is not None
        assert ours is (re.fullmatch(documented["pattern"], character) is not None), character
    longest = documented["max"]
    assert re.fullmatch(variable.characters, "a" * longest) and not re.fullmatch(variable.characters, "a" * (longest + 1))
