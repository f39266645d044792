"""A fleet from an empty account to a working fleet, through changes, and back to an empty account."""

from __future__ import annotations

import io
import json
import zipfile

from clouds import account

NEW_TYPE = """
  rain-gauge:
    description: Rain gauge
    shape: sensor
    manufacturers: [AcmeSensors]
    firmware: {pattern: '[0-9]+\\.[0-9]+', minimum: '1.0'}
    enrolment: open
    serial_pattern: 'RAIN-[A-F0-9]{8}'
    canary_serial: RAIN-00000000
    topics:
      publish: ['sensors/rain/{thing}/*']
      subscribe: ['config/{type}/{thing}/*']
    initial_shadow: {enabled: true, millimetresPerTip: 0.2}
    attributes: {medium: water}
"""


def secrets_in(path) -> list[str]:
    """Files of a state or a plan (a zip) that hold a private key."""
    content = path.read_bytes()
    parts = {path.name: content}
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    return [name for name, part in parts.items() if b"PRIVATE KEY-----" in part]


def test_a_fleet_lives_from_an_empty_account_to_an_empty_account(own_cloud):
    cloud = own_cloud
    before = account(cloud)

    # It comes to life, and a second plan is empty.
    cloud.run("plan")
    folder = cloud.environment().build
    assert secrets_in(folder / "fleet.tfplan") == []
    cloud.run("apply", "--no-smoke")
    assert secrets_in(folder / "terraform.tfstate") == []
    assert json.loads((folder / "terraform.tfstate").read_text())["resources"]
    again = cloud.run("plan")
    assert "No changes." in again.stdout and "no changes" in again.stdout
    assert "nothing to change" in cloud.run("apply", "--no-smoke").stdout

    # Edits of the template body in a row, though AWS keeps five versions, and these are there. Each edits the catalogue only.
    template = cloud.fleet().names.template
    iot = cloud.client("iot")
    body = iot.describe_provisioning_template(templateName=template)["templateBody"]
    for _ in range(4):
        iot.create_provisioning_template_version(templateName=template, templateBody=body)
    for edit in range(2):
        cloud.edit("catalogue/device_types.yaml", "powerSource:", f"powerSource{edit}: x, powerSource:")
        before_edit = iot.describe_provisioning_template(templateName=template)["defaultVersionId"]
        cloud.apply()
        deployed = iot.describe_provisioning_template(templateName=template)
        assert deployed["defaultVersionId"] > before_edit
        assert json.loads(deployed["templateBody"]) == cloud.fleet().template_body
        assert f"powerSource{edit}" in deployed["templateBody"]
    assert len(iot.list_provisioning_template_versions(templateName=template)["versions"]) <= 5

    # A fifth device type: render, apply and smoke, and no other file changed.
    catalogue = cloud.root / "catalogue/device_types.yaml"
    catalogue.write_text(catalogue.read_text(encoding="utf-8") + NEW_TYPE, encoding="utf-8")
    cloud.apply()
    smoke = json.loads(cloud.run("smoke", "--json", "--type", "rain-gauge", "--type", "gateway").stdout)
    assert all(check["status"] == "passed" for check in smoke["checks"]), smoke
    assert any("rain-gauge" in check["name"] for check in smoke["checks"])

    # A type that devices still have cannot leave the catalogue before they are gone.
    cloud.run("device", "provision", "--type", "rain-gauge", "--serial", "RAIN-0000AAAA", "--claim", "factory-2")
    catalogue.write_text(catalogue.read_text(encoding="utf-8").replace(NEW_TYPE, ""), encoding="utf-8")
    refused = cloud.run("plan", status=1)
    assert (
        "devices still have it: 1 thing\n" in refused.stderr and "fleetgate drain --type rain-gauge --env e2e" in refused.stderr
    )
    cloud.run("drain", "--type", "rain-gauge", "--yes")
    cloud.apply()
    assert "rain-gauge" not in account(cloud)["thing types"]

    # What merely has one of our types is somebody else's: it is told, and left alone.
    iot.create_thing(thingName="somebody-elses", thingTypeName="gateway")
    refused = cloud.run("destroy", "--yes", status=1)
    assert "somebody-elses" in refused.stderr and account(cloud)["things"] == ["somebody-elses"]
    iot.delete_thing(thingName="somebody-elses")
    cloud.apply()

    # With devices in it, everything goes.
    cloud.run("registry", "add", "--type", "temperature-sensor", "TEMP-000001..TEMP-000003")
    cloud.run("device", "provision", "--type", "temperature-sensor", "--count", "3", "--parallel", "2", "--claim", "factory-2")
    assert len(account(cloud)["things"]) == 3
    cloud.run("destroy", "--yes")
    assert account(cloud) == before


def test_a_plan_whose_inputs_have_changed_since_is_refused(cloud):
    cloud.run("plan")
    path = cloud.root / "catalogue/device_types.yaml"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text.replace("alertThreshold: 80", "alertThreshold: 81"), encoding="utf-8")
        refused = cloud.run("apply", "--no-smoke", status=1)
        assert "the plan is stale" in refused.stderr and "fleetgate plan --env e2e" in refused.stderr
        assert "Traceback" not in refused.stderr
    finally:
        path.write_text(text, encoding="utf-8")
    assert "nothing to change" in cloud.run("apply", "--no-smoke").stdout


def test_a_stale_build_cannot_be_planned_by_terraform_either(cloud):
    """The second lock: whoever calls Terraform by hand is refused by a validation."""
    import os
    import subprocess

    cloud.run("plan")
    folder = cloud.environment().build
    path = cloud.root / "lambda_src/onboarding/handler.py"
    text = path.read_text(encoding="utf-8")
    variables = {k: v for k, v in cloud.environment().process_variables().items() if v is not None}
    environment = {k: v for k, v in os.environ.items() if k != "TF_CLI_CONFIG_FILE"} | variables
    command = ["terraform", "plan", "-input=false", "-no-color", f"-var-file={folder / 'fleet.tfvars.json'}"]
    environment["TF_DATA_DIR"] = str(folder / "terraform")

    def plan():
        return subprocess.run(command, cwd=cloud.root / "terraform", env=environment, capture_output=True, text=True, check=False)

    assert plan().returncode == 0
    try:
        path.write_text(f"{text}\n# changed\n", encoding="utf-8")
        refused = plan()
        assert refused.returncode != 0 and "make plan ENV=e2e" in refused.stderr
    finally:
        path.write_text(text, encoding="utf-8")
