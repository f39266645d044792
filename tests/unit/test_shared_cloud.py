"""Several environments on one embedded cloud: several stacks in one account, as on AWS."""

from __future__ import annotations

import pytest

from fleetgate import cloud, deploy, environment
from fleetgate.errors import FleetgateError

GUEST = """account_id: "000000000000"
region: eu-west-1
prefix: blue
claims: {factory-1: {}}
embedded_cloud: {of: local}
"""


def write(checkout, text=GUEST, name="blue"):
    (checkout / f"terraform/envs/{name}.yaml").write_text(text, encoding="utf-8")


def test_an_environment_uses_the_cloud_that_it_names_and_keeps_all_else_to_itself(checkout):
    write(checkout)
    blue, local = environment.load(checkout, "blue"), environment.load(checkout, "local")
    assert blue.endpoint_url == local.endpoint_url and blue.cloud_ca_file == local.cloud_ca_file
    assert cloud.status(blue) == cloud.status(local)
    assert (blue.namespace, blue.settings.region, blue.build) == ("blue-", "eu-west-1", checkout / "build/blue")
    assert blue.process_variables()["AWS_REGION"] == "eu-west-1"


def test_whoever_starts_a_shared_cloud_starts_it_alike(checkout):
    write(checkout)
    blue, local = environment.load(checkout, "blue"), environment.load(checkout, "local")
    assert cloud._variables(blue) == cloud._variables(local)


def test_a_shared_cloud_is_stopped_by_its_own_environment_only(checkout):
    write(checkout)
    with pytest.raises(FleetgateError, match="uses the one of local") as refused:
        cloud.down(environment.load(checkout, "blue"))
    assert "fleetgate cloud down --env local" in str(refused.value)
    assert cloud.down(environment.load(checkout, "local")) is False


def test_a_plan_is_stale_when_the_cloud_has_moved_to_other_ports(checkout):
    write(checkout)
    before = deploy._inputs_digest(environment.load(checkout, "blue"))
    path = checkout / "terraform/envs/local.yaml"
    path.write_text(path.read_text().replace("4566", "4567"), encoding="utf-8")
    assert deploy._inputs_digest(environment.load(checkout, "blue")) != before


@pytest.mark.parametrize(
    "old, new, what",
    [
        ("of: local", "of: locl", "no other environment"),
        ("of: local", "of: blue", "no other environment"),
        ("of: local", "of: ../envs/local", "no other environment"),
        ("of: local", "of: example", "example is on AWS"),
        ("of: local", "of: green", "green uses the embedded cloud of blue"),
        ("of: local", "of: local, mqtt_port: 1", "of stands beside a port"),
        ('"000000000000"', '"111111111111"', "has one account, 000000000000"),
        ("prefix: blue", "prefix: fleetgate", "prefix: is the one of local too"),
    ],
    ids=["unknown", "itself", "a path", "on AWS", "in a circle", "with a port", "another account", "same prefix"],
)
def test_a_cloud_that_cannot_be_shared_is_told(checkout, old, new, what):
    write(checkout, GUEST.replace(old, new))
    write(checkout, GUEST.replace("of: local", "of: blue").replace("prefix: blue", "prefix: green"), "green")
    with pytest.raises(FleetgateError, match=what) as refused:
        environment.load(checkout, "blue")
    assert "terraform/envs/blue.yaml" in str(refused.value)
