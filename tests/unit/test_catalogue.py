"""The catalogue: what the gate believes about device types."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from checkouts import ROOT
from fleetgate import catalogue, document, regular_expressions
from fleetgate.errors import FleetgateError

MISSION = ("temperature-sensor", "humidity-sensor", "pressure-sensor", "gateway")
TEXT = (ROOT / catalogue.FILE).read_text(encoding="utf-8")


def problems(text: str) -> list[str]:
    with pytest.raises(FleetgateError) as raised:
        catalogue.parse(text)
    return [str(problem) for problem in raised.value.problems]


def test_the_four_types_of_the_mission_are_there_with_their_initial_shadows():
    shadows = {name: kind.initial_shadow for name, kind in catalogue.parse(TEXT).device_types.items()}
    assert {name: shadows[name] for name in MISSION} == {
        "temperature-sensor": {"samplingRate": 30, "temperatureUnit": "celsius", "alertThreshold": 80, "enabled": True},
        "humidity-sensor": {"enabled": True, "reportingInterval": 60},
        "pressure-sensor": {"enabled": True, "reportingInterval": 60},
        "gateway": {"connectionTimeout": 30, "bufferSize": 100, "compressionEnabled": True, "logLevel": "INFO"},
    }


def test_only_serials_in_the_registry_are_let_in_unless_the_catalogue_says_open():
    assert {catalogue.parse(TEXT).device_types[name].enrolment for name in MISSION} == {"allow_list"}
    assert "enrolment" not in TEXT.split("humidity-sensor:")[1].split("pressure-sensor:")[0]


def test_the_committed_schema_is_the_one_of_the_model():
    assert (ROOT / catalogue.SCHEMA_FILE).read_text(encoding="utf-8") == catalogue.schema()


def test_the_schema_refuses_unknown_keys_as_the_model_does():
    schema = json.loads(catalogue.schema())
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())


def test_the_editor_modeline_names_the_schema():
    first = TEXT.splitlines()[0]
    assert first == f"# yaml-language-server: $schema=./{Path(catalogue.SCHEMA_FILE).name}"


@pytest.mark.parametrize(
    ("old", "new", "where", "what", "remedy"),
    [
        pytest.param("shape: sensor", "shap: sensor", "temperature-sensor.shap", "unknown key", "`shape`", id="misspelt key"),
        pytest.param("shape: gateway", "shape: router", "gateway.shape", "'sensor' or 'gateway'", "", id="unknown shape"),
        pytest.param("shape: gateway", "shape: GATEWYA", "gateway.shape", "GATEWYA", "mean `gateway`?", id="misspelt shape"),
        pytest.param("allow_list", "allow-list", "sensor.enrolment", "allow-list", "mean `allow_list`?", id="misspelt enrolment"),
        pytest.param("GW-000000", "GX-0", "gateway.canary_serial", "does not match serial_pattern", "serial", id="canary"),
        pytest.param("minimum: 2.0.0", "minimum: v2", "gateway.firmware.minimum", "not numbers", "1.2.0", id="minimum firmware"),
        pytest.param("minimum: 2.0.0", "minimum: 2.0", "gateway.firmware.minimum", "", "", id="minimum is a float"),
        pytest.param("'GW-[0-9]{6}'", "'GW-[0-9{6}'", "gateway.serial_pattern", "regular expression", "mend", id="regex"),
        pytest.param("'GW-[0-9]{6}'", "'(G+)+-[0-9]{6}'", "gateway.serial_pattern", "take too long", "let each", id="slow regex"),
        pytest.param(
            "'GW-[0-9]{6}'", "'[A-Z]+-[0-9]{6}'", "temperature-sensor.canary_serial", "'gateway' too", "differ", id="overlap"
        ),
        pytest.param("'GW-[0-9]{6}'", "'^GW-[0-9]{6}$'", "gateway.serial_pattern", "anchored", "leave out", id="anchored"),
        pytest.param(
            "'gateway/{thing}/*'", "'gateway/#'", "gateway.topics.publish[0]", "MQTT wildcard", "/*", id="mqtt wildcard"
        ),
        pytest.param("'gateway/{thing}/*'", "'gateway/*'", "gateway.topics.publish[0]", "{thing}", "share", id="shared topic"),
        pytest.param(
            "'gateway/{thing}/*'", "'gw/x-{thing}/*'", "gateway.topics.publish[0]", "x-{thing}", "whole level", id="partial level"
        ),
        pytest.param("'gateway/{thing}/*'", "'*/{thing}/a'", "gateway.topics.publish[0]", "'*'", "last", id="wildcard level"),
        pytest.param("'gateway/{thing}/*'", "'$aws/{thing}/a'", "gateway.topics.publish[0]", "$aws", "", id="reserved topic"),
        pytest.param("'gateway/{thing}/*'", "'/{thing}/a'", "gateway.topics.publish[0]", "level ''", "", id="empty level"),
        pytest.param(
            "pressure-sensor]",
            "pressure-senso]",
            "gateway.publishes_on_behalf_of[2]",
            "unknown device type",
            "pressure",
            id="flow",
        ),
        pytest.param("mains", "on mains", "gateway.attributes.powerSource", "not allowed", "no space", id="attribute value"),
        pytest.param("powerSource", "location", "gateway.attributes.location", "gate itself", "remove", id="reserved attribute"),
        pytest.param("logLevel: INFO", "logLevel: null", "gateway.initial_shadow", "null", "leave", id="null in shadow"),
        pytest.param("logLevel: INFO", "logLevel: .nan", "gateway.initial_shadow", "JSON", "strings", id="NaN in shadow"),
        pytest.param("  gateway:\n", "  claim:\n", "device_types.claim", "reserved", "another name", id="reserved type name"),
        pytest.param("  gateway:\n", "  Gateway 1:\n", "device_types.Gateway 1", "not allowed", "lower case", id="type name"),
        pytest.param("  gateway:\n", "  gateway:\n    shape: sensor\n", "gateway.shape", "twice", "keep one", id="duplicate key"),
        pytest.param("[AcmeGateways]", "[]", "gateway.manufacturers", "at least 1", "", id="nobody makes it"),
        pytest.param(
            "  gateway:\n", "  temperature-sensor-x:\n", "temperature-sensor", "same name", "rename", id="ambiguous things"
        ),
    ],
)
def test_a_mistake_is_told_with_line_path_and_remedy(old, new, where, what, remedy):
    assert old in TEXT
    found = problems(TEXT.replace(old, new, 1))
    hits = [p for p in found if where in p.partition(": ")[0] and what in p and remedy in p]
    assert hits, found
    line = hits[0].split(":")[1].split()[0]
    assert line.isdigit() and hits[0].startswith(f"{catalogue.FILE}:")


def test_all_mistakes_of_all_types_come_in_one_run():
    text = TEXT.replace("shape: sensor", "shap: sensor", 1).replace("GW-000000", "GX-0").replace("mains", "on mains")
    found = "\n".join(problems(text))
    assert all(part in found for part in ("temperature-sensor.shap", "gateway.attributes.powerSource"))
    text = TEXT.replace("shape: sensor", "shap: sensor", 1).replace("GW-000000", "GX-0")
    found = "\n".join(problems(text))
    assert all(part in found for part in ("temperature-sensor.shap", "gateway.canary_serial")), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("shape: gateway", "shape: gateway\n    enrolment: foo"),
        ("shape: gateway", "shape: router"),
        ("shape: gateway", "shape: gateway\n    clour: red"),
        ("manufacturers: [AcmeGateways]", "manufacturers: AcmeGateways"),
        ("minimum: 2.0.0", "minimum: 2.0"),
        ("logLevel: INFO}", "logLevel: INFO, 1: 2}"),
        ("{powerSource: mains}", "5"),
    ],
    ids=["enrolment", "shape", "unknown key", "manufacturers", "minimum", "shadow", "attributes"],
)
def test_a_mistake_in_one_field_hides_none_in_another(old, new):
    text = TEXT.replace(old, new).replace("GW-000000", "GX-0").replace("'gateway/{thing}/*'", "'gateway/*'")
    text = text.replace("pressure-sensor]", "pressure-senso]")
    found = "\n".join(problems(text))
    assert "gateway.canary_serial: 'GX-0' does not match serial_pattern" in found
    assert "gateway.topics.publish[0]" in found and "gateway.publishes_on_behalf_of[2]" in found


def test_of_a_map_the_valid_entries_are_checked_and_of_a_nested_model_the_valid_fields():
    text = TEXT.replace("{powerSource: mains}", "{powerSource: on mains, location: hall}")
    text = text.replace(r"{pattern: '[0-9]+\.[0-9]+\.[0-9]+', minimum: 2.0.0}", "{pattern: '^a', minimum: v2}")
    found = [problem.partition(": ")[0].partition(" ")[2] for problem in problems(text)]
    gateway = "device_types.gateway"
    wanted = ["firmware.pattern", "attributes.powerSource", "firmware.minimum", "attributes.location"]
    assert found == [f"{gateway}.{field}" for field in wanted]


def test_what_is_valid_of_an_entry_is_its_valid_fields_and_nothing_else():
    data = {"shape": "router", "firmware": {"minimum": "1", "pattern": "^a"}, "attributes": {"a": "x", "b c": "y", "d": 5}}
    found = document.validate_partly(data, catalogue.DeviceType)
    assert found.attributes == {"a": "x"} and found.enrolment == "allow_list"
    assert found.firmware.minimum == "1" and not hasattr(found.firmware, "pattern")
    assert not hasattr(found, "shape") and not hasattr(found, "topics")


@pytest.mark.parametrize("field", ["publish: 5", "publish: [1]", "publsh: ['gateway/{thing}/*']", "publish:"])
def test_the_default_of_a_field_that_is_wrong_is_not_held_against_the_rules(field):
    found = [problem for problem in problems(TEXT.replace("publish: ['gateway/{thing}/*']", field)) if "no topic" in problem]
    assert bool(found) is field.startswith("publsh")


@pytest.mark.parametrize("value", [..., None, 5, "?", [], [None], {}, {"a": None}, {1: {}}], ids=repr)
@pytest.mark.parametrize("field", [*catalogue.DeviceType.model_fields, "pattern", "minimum", "publish", "subscribe"])
def test_no_rule_reads_a_field_that_is_wrong_or_missing(field, value):
    """Whatever stands there, and if nothing does (...), the file is taken, or refused with a sentence."""
    data = yaml.safe_load(TEXT)
    gateway = data["device_types"]["gateway"]
    holder = next((part for part in (gateway, gateway["firmware"], gateway["topics"]) if field in part), gateway)
    if value is ...:
        holder.pop(field, None)
    else:
        holder[field] = value
    try:
        catalogue.parse(yaml.safe_dump(data))
    except FleetgateError as error:
        assert error.problems


@pytest.mark.parametrize(
    "text",
    [
        "",
        "device_types:",
        "- a",
        "a: [",
        "\t",
        "device_types: {}",
        "device_types: [1]",
        "1: 2",
        "a: &a [*a]",
        "device_types: {x: &a {b: 1}, y: *a}",
        "[" * 100_000,
        "device_types: " + "{a: " * 5000,
        "? {a: b}\n: c",
        "device_types: {x: 1}",
        "!!python/object:os.system {}",
        "device_types: {1: {shape: sensor}}",
    ],
)
def test_a_file_that_is_no_catalogue_is_refused_with_a_sentence(text):
    assert problems(text)


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("1.10.0", (1, 10)),
        ("1.10", (1, 10)),
        ("0.0", (0,)),
        ("1.0.1", (1, 0, 1)),
        ("1", (1,)),
        ("1.2.x", None),
        ("", None),
        ("1..2", None),
        ("\u0661.0", None),
        ("1.0\n", None),
    ],
)
def test_a_version_is_numbers_between_dots(version, key):
    assert catalogue.version_key(version) == key


QUICK = [
    "TEMP-[0-9]{6}",
    r"[0-9]+\.[0-9]+",
    r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+",
    r"[0-9]+(\.[0-9]+)*",
    r"[0-9]+(\.[0-9]+){1,3}(-[a-z]+)?",
    "(A|B)-[0-9]+",
    "(A|B){20}",
    "(ab){2}",
    "[+*(|]+x",
    r"(\+\*)+",
    ".*-.*",
    "[A-Z]{2,5}[0-9A-Z]{3}",
    r"(?!000)[0-9]{6}",
    "((a{64}){64}){64}",
    "[^-]+-[^-]+-[^-]+-[^-]+",
    "(foo|bar)[0-9]*",
]
SLOW = [
    "(a+)+",
    "(a|aa)*",
    "([0-9A-Z]+-?)+[0-9]",
    "((a{1,3})a)+",
    "(?:a*){2,}",
    "(a*){9}",
    "(a?){30}",
    "(a?)*",
    "(|a)*b",
    "[A-Z0-9-]*" * 12 + "_",
    "[A-Z]{0,40}" * 4,
    ".*.*.*=",
    r"(\w|\w\d)+x",
    r"(?i:[a-z]+[A-Z]+[a-z]+[A-Z]+)",
    r"(?i)[a-z]+[A-Z]+[a-z]+[A-Z]+",
    "(?:[^a]|b)+",
    "(é|ü|.)*",
    r"(a*)\1(a*)\2(a*)\3",
    "((?=a*a*a*a*b)a)*",
    "(?>(a|a)*)b",
    "(a)?(?(1)a|aa)*a*a*a*",
]


@pytest.mark.parametrize("pattern", QUICK)
def test_a_pattern_that_takes_no_time_is_taken(pattern):
    assert regular_expressions.ways(pattern) <= regular_expressions.MAXIMUM_WAYS


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_a_stranger_could_stall_the_gate_with_is_refused(pattern):
    assert regular_expressions.ways(pattern) > regular_expressions.MAXIMUM_WAYS
    told = problems(TEXT.replace("'TEMP-[0-9]{6}'", json.dumps(pattern)))
    assert any("serial_pattern" in one and "would take too long" in one for one in told)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_pattern_that_is_taken_takes_long(data):
    """Random expressions over two letters, on the texts that make a matcher try everything: a long run and then what is wrong."""
    one = st.sampled_from(["a", "b", "[ab]", ".", "[^b]", "ab"])
    often = st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,40}", "{2,9}"])

    def longer(inner):
        repeated = st.builds("{}{}".format, st.one_of(one, inner.map("({})".format)), often)
        choice = st.lists(inner, min_size=2, max_size=3).map("|".join)
        return st.one_of(st.lists(repeated, min_size=1, max_size=5).map("".join), choice)

    pattern = data.draw(st.recursive(one, longer, max_leaves=8))
    if regular_expressions.ways(pattern) > regular_expressions.MAXIMUM_WAYS:
        return
    started = time.process_time()
    for run in ("a" * 63, "b" * 63, "ab" * 31):
        re.fullmatch(pattern, run + "!", re.ASCII)
    assert time.process_time() - started < 0.5, pattern
