"""The rendered policies. tests/golden/policies/ is where a reviewer sees a permission change; nothing regenerates it in CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checkouts import ROOT
from fleetgate import build, environment, policies
from fleetgate.errors import FleetgateError

GOLDEN = ROOT / "tests" / "golden" / "policies"


def errors(checkout: Path) -> str:
    with pytest.raises(FleetgateError) as raised:
        build.compile_fleet(environment.load(checkout, "local"))
    return str(raised.value)


def test_every_policy_is_the_golden_one(fleet):
    golden = {path.stem: path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.json")}
    assert {"temperature-sensor", "humidity-sensor", "pressure-sensor", "gateway", "claim"} <= set(golden)
    # A type that somebody added has none until its policy is to be reviewed line by line.
    assert {name: policies.to_text(fleet.policies[name]) for name in golden} == golden


def test_every_policy_fits_into_what_aws_takes(fleet):
    assert {name: policies.size(p) for name, p in fleet.policies.items() if policies.size(p) > 2048} == {}


def test_a_device_reaches_nothing_but_its_own_thing(fleet):
    """Every resource of a device policy names the attached thing as a whole level, but for the declared telemetry flows."""
    for name, policy in fleet.policies.items():
        if name == "claim":
            continue
        for statement in policy["Statement"]:
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            for resource in resources:
                levels = resource.split(":", 5)[5].split("/")
                if policies.THING not in levels:
                    assert statement["Sid"] == "PublishOnBehalfOfSensors", resource
                    assert fleet.catalogue.device_types[name].publishes_on_behalf_of


def test_a_device_connects_only_as_its_attached_thing(fleet):
    connects = [s for n, p in fleet.policies.items() if n != "claim" for s in p["Statement"] if s["Action"] == "iot:Connect"]
    assert len(connects) == len(fleet.catalogue.device_types)
    assert all(s["Resource"].endswith(f":client/{policies.THING}") for s in connects)
    assert all(s["Condition"] == {"Bool": {"iot:Connection.Thing.IsAttached": "true"}} for s in connects)


def test_the_claim_policy_names_each_list_of_topics_in_the_resource_kind_that_its_action_takes(fleet):
    by_sid = {s["Sid"]: s for s in fleet.policies["claim"]["Statement"]}
    template = fleet.names.template
    topics = [
        "$aws/certificates/create/*",
        "$aws/certificates/create-from-csr/*",
        f"$aws/provisioning-templates/{template}/provision/*",
    ]
    assert [r.split(":topic/")[1] for r in by_sid["ExchangeClaim"]["Resource"]] == topics
    assert [r.split(":topicfilter/")[1] for r in by_sid["SubscribeToReplies"]["Resource"]] == topics
    assert by_sid["ConnectAsClaim"]["Resource"].endswith(":client/fleetgate-claim-*")
    assert len(by_sid) == 3


@pytest.mark.parametrize(
    "region, partition", [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_resources_carry_the_partition_region_and_account_of_the_environment(checkout, region, partition):
    path = checkout / "terraform/envs/local.yaml"
    path.write_text(path.read_text().replace("us-east-1", region).replace("000000000000", "210987654321"))
    fleet = build.compile_fleet(environment.load(checkout, "local"))
    resource = fleet.policies["gateway"]["Statement"][0]["Resource"]
    assert resource == f"arn:{partition}:iot:{region}:210987654321:client/{policies.THING}"


def test_a_missing_template_variable_is_named(checkout):
    path = checkout / "policy_templates/sensor.json.j2"
    path.write_text(path.read_text().replace("publish |", "publsh |"))
    found = errors(checkout)
    assert "'publsh' is undefined" in found and "publish" in found.split("use one of")[1] and "sensor.json.j2" in found


def test_a_variable_missing_inside_a_filter_is_named_too(checkout):
    path = checkout / "policy_templates/claim.json.j2"
    path.write_text(path.read_text().replace("claim_client_prefix ~", "nothing_like_it ~"))
    assert "'nothing_like_it' is undefined" in errors(checkout)


def test_a_template_that_renders_no_json_is_told_with_the_line(checkout):
    path = checkout / "policy_templates/claim.json.j2"
    path.write_text(path.read_text().replace('"Sid": "ConnectAsClaim",', '"Sid": "ConnectAsClaim"'))
    found = errors(checkout)
    assert "not JSON" in found and "claim.json.j2" in found and "at line 6 of it" in found


def test_a_template_that_fails_while_it_runs_is_told(checkout):
    path = checkout / "policy_templates/claim.json.j2"
    path.write_text(path.read_text().replace('"2012-10-17"', "{{ 1 + template }}"))
    found = errors(checkout)
    assert "claim.json.j2" in found and "cannot be rendered" in found


@pytest.mark.parametrize("text", ["[1]", "{}", '{"Version": NaN, "Statement": []}'])
def test_json_that_is_no_policy_is_refused(checkout, text):
    (checkout / "policy_templates/claim.json.j2").write_text(text)
    assert "claim.json.j2 (for claim): the result is not" in errors(checkout)


def test_a_gateway_speaks_for_sensors_of_its_own_fleet_only(checkout):
    path = checkout / "terraform/envs/local.yaml"
    path.write_text(path.read_text() + "namespace: blue\n")
    policy = build.compile_fleet(environment.load(checkout, "local")).policies["gateway"]
    (flow,) = [s for s in policy["Statement"] if s["Sid"] == "PublishOnBehalfOfSensors"]
    assert flow["Resource"][0].endswith(":topic/sensors/temperature/blue-temperature-sensor-*/*")


def test_a_broken_template_is_told_with_its_line(checkout):
    path = checkout / "policy_templates/claim.json.j2"
    path.write_text(path.read_text() + "{% if %}")
    assert "claim.json.j2:" in errors(checkout)


def test_a_template_that_is_not_there_is_named(checkout):
    (checkout / "policy_templates/_own_thing.json.j2").unlink()
    found = errors(checkout)
    assert found.startswith("policy_templates/_own_thing.json.j2 (for ") and "there is no such template" in found
    assert found.count("->") == 1


def test_an_oversized_policy_is_refused_with_both_sizes(checkout):
    path = checkout / "catalogue/device_types.yaml"
    topics = ", ".join(f"'sensors/temperature/{{thing}}/channel-{n}/*'" for n in range(12))
    path.write_text(path.read_text().replace("'sensors/temperature/{thing}/*'", topics))
    found = errors(checkout)
    assert "AWS IoT takes 2048" in found and "for temperature-sensor" in found and "save " in found


def test_white_space_does_not_count_against_the_limit():
    policy = {"Version": "2012-10-17", "Statement": []}
    assert policies.size(policy) == len(json.dumps(policy, separators=(",", ":")))


def test_a_template_that_ends_too_soon_is_told(checkout):
    path = checkout / "policy_templates/sensor.json.j2"
    path.write_text(path.read_text(encoding="utf-8").rstrip().removesuffix("}") + "\n", encoding="utf-8")
    assert "the result is not JSON" in errors(checkout)


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("{{ publish |", "{{ publsh |", "a variable is missing"),
        ("{{ publish |", "{{ publish | join(3 // 0) |", "cannot be rendered"),
        ("{{ publish |", "{{ publish | no_such_filter |", "not a Jinja template"),
    ],
)
def test_a_mistake_in_a_template_of_several_types_is_told_once_with_its_line(checkout, old, new, said):
    path = checkout / "policy_templates/sensor.json.j2"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new), encoding="utf-8")
    line = next(number for number, one in enumerate(text.splitlines(), 1) if old in one)
    found = errors(checkout)
    assert found.count("->") == 1 and said in found
    assert found.startswith(
        f"policy_templates/sensor.json.j2:{line} (for temperature-sensor, humidity-sensor, pressure-sensor): "
    )
