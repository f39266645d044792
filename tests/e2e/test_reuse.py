"""Other teams use single modules: the READMEs' examples are planned, and a root of another shape lives beside the main stack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from types import SimpleNamespace

import pytest

from checkouts import ROOT
from clouds import TYPE, Cloud, account, entered, row, wait_for, walk
from fleetgate import claims, decommission, terraform
from module_examples import MODULES, example, with_paths

SITE = "orchard-north"
#: The environment that the other team compiles: it has names of its own, and is never applied by the commands.
ORCHARD = """account_id: "000000000000"
region: us-east-1
prefix: orchard
deletion_protection: false
claims: {factory-1: {}}
embedded_cloud: {of: e2e}
"""
PROVIDER = f"""
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws", version = "{terraform.provider_version(ROOT / "terraform")}" }}
  }}
}}

provider "aws" {{
  region = "us-east-1"
}}
"""


def run(cloud, folder, *arguments):
    """Terraform in a root that is not ours, as its team would call it."""
    variables = {name: value for name, value in cloud.environment().process_variables().items() if value is not None}
    inherited = {name: value for name, value in os.environ.items() if name not in ("TF_CLI_CONFIG_FILE", "TF_DATA_DIR")}
    command = ["terraform", arguments[0], "-no-color", "-input=false", *arguments[1:]]
    done = subprocess.run(
        command, cwd=folder, env=inherited | variables, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def init(cloud, folder):
    mirror = terraform.find_mirror(terraform.provider_version(ROOT / "terraform"))
    run(cloud, folder, "init", *([f"-plugin-dir={mirror}"] if mirror else []))


@pytest.fixture(scope="module")
def planned(cloud, tmp_path_factory):
    """What Terraform says of one root that holds the example of every module's README, each in a file of its own.

    Together they are a whole stack: what one refers to of another is what that other's README calls by this name.
    """
    folder = tmp_path_factory.mktemp("examples")
    for module in MODULES:
        (folder / f"{module.name}.tf").write_text(with_paths(example(module), module.parents[1]), encoding="utf-8")
    (folder / "root.tf").write_text(PROVIDER, encoding="utf-8")
    # What the examples read: what was compiled, and the signing requests of two claims.
    built = cloud.environment().build
    shutil.copytree(
        built,
        folder / "build",
        ignore=lambda _, names: {n for n in names if n != "policies" and not n.endswith((".zip", ".json"))},
    )
    (folder / "claims").mkdir()
    for name in ("factory-1", "factory-2"):
        shutil.copy(cloud.environment().claim_csr_file(name), folder / "claims" / f"{name}.csr.pem")
    init(cloud, folder)
    return [json.loads(line) for line in run(cloud, folder, "plan", "-json").splitlines()]


@pytest.mark.parametrize("module", MODULES, ids=lambda folder: folder.name)
def test_the_example_of_a_module_s_readme_is_planned(planned, module):
    created = [said["change"]["resource"]["module"] for said in planned if said["type"] == "planned_change"]
    assert [name for name in created if name.partition("[")[0] == f"module.{module.name}"]


def test_the_examples_of_the_readmes_are_planned_without_a_warning(planned):
    assert [said["diagnostic"]["summary"] for said in planned if said["type"] == "diagnostic"] == []


@pytest.fixture
def team(cloud):
    """Another team in the same account: its thing group, its claim, and what it compiles; taken away at the end."""
    path = cloud.root / "terraform/envs/orchard.yaml"
    path.write_text(ORCHARD, encoding="utf-8")
    orchard, iot = Cloud(cloud.root, "orchard"), cloud.client("iot")
    before = account(cloud)
    orchard.run("claim", "create", "factory-1")
    orchard.run("render")
    built = orchard.environment().build
    iot.create_thing_group(thingGroupName="plants")
    csr = orchard.environment().claim_csr_file("factory-1").read_text()
    claim = iot.create_certificate_from_csr(certificateSigningRequest=csr, setAsActive=True)
    policy = orchard.fleet().names.claim_policy
    iot.create_policy(policyName=policy, policyDocument=(built / "policies/claim.json").read_text())
    iot.attach_policy(policyName=policy, target=claim["certificateArn"])
    with entered(orchard):
        claims.fetch(orchard.environment(), {"factory-1": claim["certificateId"]})
    try:
        yield SimpleNamespace(cloud=orchard, built=built, claim=claim["certificateId"], before=before)
    finally:
        with entered(orchard):
            decommission.remove_certificate(claim["certificateId"])
        iot.delete_policy(policyName=policy)
        iot.delete_thing_group(thingGroupName="plants")
        path.unlink()
    assert account(cloud) == before


def test_another_team_s_root_of_three_modules_lives_beside_the_main_stack_and_goes_without_a_trace(cloud, team, tmp_path):
    serial = f"TEMP-{uuid.uuid4().int % 100_000 + 900_000}"
    cloud.run("registry", "add", "--type", TYPE, serial)
    main = walk(cloud, serial, tmp_path / "main")
    with main.connect(main.register()[0]):
        assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    kept = row(cloud, serial)

    folder = tmp_path / "root"
    folder.mkdir()
    for path in (ROOT / "examples/registry_and_gate").glob("*.tf"):
        (folder / path.name).write_text(with_paths(path.read_text(encoding="utf-8"), path.parent), encoding="utf-8")
    values = {"build": team.built, "claim_certificate_ids": json.dumps([team.claim]), "parent_group_name": "plants", "site": SITE}
    options = [f"-var={name}={value}" for name, value in values.items()]
    init(cloud, folder)
    run(cloud, folder, "apply", "-auto-approve", *options)
    applied = json.loads((folder / "terraform.tfstate").read_text())["resources"]
    assert {name.split(".")[1].partition("[")[0] for name in (r.get("module", "") for r in applied) if name} == {
        "device_registry",
        "device_type",
        "provisioning",
    }

    # A device of the team comes in, by its own claim and its own template; a device of the main stack does not notice.
    team.cloud.run("registry", "add", "--type", TYPE, serial)
    with entered(team.cloud):
        device = walk(team.cloud, serial, tmp_path / "team")
        identity = device.register()[0]
        device.connect(identity).close()
    thing = cloud.client("iot").describe_thing(thingName=identity.thing_name)
    assert identity.thing_name == f"orchard-{TYPE}-{serial}"
    assert thing["attributes"] == {"serialNumber": serial, "site": SITE}
    assert row(team.cloud, serial)["status"] == "provisioning" and row(cloud, serial) == kept
    main.connect(main.register()[0]).close()

    with entered(team.cloud):
        decommission.remove_device(identity.thing_name)
    run(cloud, folder, "destroy", "-auto-approve", *options)
    assert "no changes" in cloud.run("plan").stdout
    main.connect(main.register()[0]).close()
    assert row(cloud, serial) == kept
    decommission.remove_device(f"{TYPE}-{serial}")
