"""A fleet whose policies fail lint or isolation goes no further."""

from __future__ import annotations

import pytest

from fleetgate import build, deploy, environment, policy_gate
from fleetgate.errors import FleetgateError


def test_the_repository_s_own_fleet_passes(fleet):
    policy_gate.require(fleet)


@pytest.mark.parametrize(
    "old, new, parts",
    [
        ('"Action": "iot:Publish"', '"Action": "iot:*"', ["A04", "policy_templates/sensor.json.j2:"]),
        ("{{ publish |", "{{ (publish + ['sensors/*']) |", ["I01", "policy of temperature-sensor"]),
        ("{{ publish |", "{{ ['sensors/*'] |", ["I01", "policy of temperature-sensor"]),
    ],
    ids=["lint", "isolation", "isolation of declared topics"],
)
def test_a_policy_that_reaches_too_far_is_named_with_the_place(checkout, fleet, old, new, parts):
    path = checkout / "policy_templates/sensor.json.j2"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(FleetgateError) as refused:
        policy_gate.require(build.compile_fleet(environment.load(checkout, "local")))
    assert all(part in str(refused.value) for part in parts), refused.value


def test_a_wrong_policy_is_told_before_any_cloud_is_asked(checkout, monkeypatch):
    path = checkout / "policy_templates/sensor.json.j2"
    path.write_text(path.read_text(encoding="utf-8").replace('"Action": "iot:Publish"', '"Action": "iot:*"'), encoding="utf-8")
    asked = []
    monkeypatch.setattr("fleetgate.cloud.require", asked.append)
    with pytest.raises(FleetgateError, match="A04"):
        deploy.plan(build.compile_fleet(environment.load(checkout, "local")), print)
    assert asked == [] and not (checkout / "build/local/fleet.tfvars.json").exists()


def test_a_template_that_no_type_uses_stands_in_nobody_s_way(checkout, fleet):
    other = checkout / "policy_templates/other.json.j2"
    other.write_text((checkout / "policy_templates/gateway.json.j2").read_text(encoding="utf-8"), encoding="utf-8")
    policy_gate.require(fleet)


def test_a_policy_that_lint_has_not_seen_is_refused(fleet):
    """As by a template that reads something that changes: an object's address, say."""
    fleet.policies["gateway"] = {**fleet.policies["gateway"], "Statement": []}
    with pytest.raises(FleetgateError, match="policy of gateway: is not the one that lint has judged"):
        policy_gate.require(fleet)
