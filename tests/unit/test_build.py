"""What `fleetgate render` and `package` write."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleetgate import build, catalogue, claims, environment, names, package, template
from fleetgate.errors import FleetgateError


def snapshot(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_rendering_twice_changes_nothing(fleet):
    assert build.write(fleet)
    before = snapshot(fleet.environment.build)
    assert build.write(fleet) == []
    assert snapshot(fleet.environment.build) == before


def test_a_quota_that_was_raised_reaches_the_dashboard_and_the_others_stay_aws_s(fleet):
    text = (fleet.environment.root / fleet.environment.file).read_text() + "quotas_per_second: {register_thing: 50}\n"
    fleet.environment.settings = environment.parse(text, fleet.environment.file)
    compiled = build.tfvars(fleet, dict.fromkeys(package.FUNCTIONS, b""))["quotas_per_second"]
    assert compiled == {"create_certificate_from_csr": 20, "create_keys": 10, "register_thing": 50}


@pytest.mark.parametrize("wrong", ["register_thing: 0", "register_things: 50", "register_thing: many"])
def test_a_quota_that_is_none_is_refused_with_its_place(fleet, wrong):
    text = (fleet.environment.root / fleet.environment.file).read_text() + f"quotas_per_second: {{{wrong}}}\n"
    with pytest.raises(FleetgateError) as refused:
        environment.parse(text, fleet.environment.file)
    assert "quotas_per_second.register_thing" in str(refused.value)


def test_a_removed_type_takes_its_policy_file_with_it(fleet):
    build.write(fleet)
    stray = fleet.environment.build / "policies" / "forgotten.json"
    stray.write_text("{}")
    build.write(fleet)
    assert not stray.exists()


def test_packages_do_not_depend_on_time_or_place(fleet, tmp_path):
    elsewhere = tmp_path / "else" / "where"
    shutil.copytree(fleet.environment.root / "lambda_src", elsewhere / "lambda_src")
    first = {f: package.build(fleet.environment.root, f, fleet.catalogue, fleet.names) for f in package.FUNCTIONS}
    for path in (elsewhere / "lambda_src").rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o777)
    again = {f: package.build(elsewhere, f, fleet.catalogue, fleet.names) for f in package.FUNCTIONS}
    assert first == again


def test_a_package_holds_the_sources_and_its_slice_and_nothing_else(fleet):
    folder = fleet.environment.root / "lambda_src" / "provisioning_hook"
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "x.pyc").write_bytes(b"")
    content = package.build(fleet.environment.root, "provisioning_hook", fleet.catalogue, fleet.names)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        listed = set(archive.namelist())
        held = json.loads(archive.read("catalogue.json"))
    assert listed == {p.name for p in folder.glob("*.py")} | {"catalogue.json"}
    assert set(held["deviceTypes"]) == set(fleet.catalogue.device_types)


def test_missing_sources_are_told(fleet):
    (fleet.environment.root / "lambda_src" / "onboarding" / "handler.py").unlink()
    with pytest.raises(FleetgateError, match=r"onboarding/handler\.py"):
        build.write(fleet)


def test_the_variables_carry_the_digest_of_every_input(fleet):
    build.write(fleet)
    digests = json.loads((fleet.environment.build / build.TFVARS).read_text())["input_digests"]
    root = fleet.environment.root
    assert {"catalogue/device_types.yaml", "terraform/envs/local.yaml", "policy_templates/claim.json.j2"} <= set(digests)
    assert "lambda_src/provisioning_hook/handler.py" in digests
    assert all(hashlib.sha256((root / name).read_bytes()).hexdigest() == digest for name, digest in digests.items())


def test_a_private_key_in_place_of_a_signing_request_never_reaches_the_variables(fleet):
    key = fleet.environment.claim_folder("factory-1") / claims.KEY_FILE
    fleet.environment.claim_csr_file("factory-1").write_bytes(key.read_bytes())
    with pytest.raises(FleetgateError, match="is not a certificate signing request"):
        build.write(fleet)
    assert not (fleet.environment.build / build.TFVARS).exists()


def test_a_missing_signing_request_is_told_with_the_command_that_makes_it(fleet):
    fleet.environment.claim_csr_file("factory-1").unlink()
    with pytest.raises(FleetgateError, match="fleetgate claim create factory-1 --env local"):
        build.write(fleet)


def test_every_reference_of_the_template_is_declared_and_every_declared_parameter_is_used(fleet):
    body = fleet.template_body
    used = set()

    def collect(value):
        if isinstance(value, dict):
            used.update([value["Ref"]] if set(value) == {"Ref"} else ())
            for child in value.values():
                collect(child)
        elif isinstance(value, list):
            for child in value:
                collect(child)

    collect(body["Resources"])
    assert used == set(body["Parameters"])
    assert "AWS::IoT::Certificate::Arn" not in json.dumps(body)
    assert "Fn::" not in json.dumps(body)


def test_the_template_gives_a_thing_the_attributes_of_the_mission(fleet):
    attributes = fleet.template_body["Resources"]["thing"]["Properties"]["AttributePayload"]
    wanted = {"serialNumber", "deviceType", "firmwareVersion", "manufacturer", "location", "provisioningTime"}
    assert wanted <= set(attributes)
    assert attributes["powerSource"] == {"Ref": template.extra_parameter("powerSource")}


def test_a_certificate_is_bound_to_one_thing_and_registering_again_changes_neither_type_nor_group(fleet):
    resources = fleet.template_body["Resources"]
    assert resources["certificate"]["Properties"]["ThingPrincipalType"] == "EXCLUSIVE_THING"
    settings = {"AttributePayload": "MERGE", "ThingTypeName": "DO_NOTHING", "ThingGroups": "DO_NOTHING"}
    assert resources["thing"]["OverrideSettings"] == settings


def test_names_do_not_meet_those_of_another_stack(checkout):
    path = checkout / "terraform/envs/local.yaml"
    fleet_names, text = [], path.read_text()
    for extra in ("", "prefix: acme\n", "prefix: acme-two\n"):
        path.write_text(extra + text)
        env = environment.load(checkout, "local")
        derived = names.derive(catalogue.read(checkout), env)
        flat = {derived.table, derived.template, derived.hook, derived.onboarding, derived.claim_policy, derived.parent_group}
        flat |= {derived.claim_client_prefix}
        for t in derived.types.values():
            flat |= {t.thing_type, t.group, t.policy, t.thing("S-1")}
        fleet_names.append(flat)
    assert not fleet_names[0] & fleet_names[1] and not fleet_names[1] & fleet_names[2]


@pytest.mark.parametrize(
    "line, part",
    [
        ("account_id: 123456789012", "account_id"),
        ('account_id: "12"', "12 digits"),
        ("regio: x", "did you mean `region`"),
        ("prefix: Fleet_Gate", "inner hyphens"),
        ("claims: {a: {csr: ../x.csr.pem}}", "below the repository"),
        ("claims: {a: {csr: build/local/claims/a/key.pem}}", "ends in .csr.pem"),
        ("lease_seconds: 0", "lease_seconds"),
        ("log_retention_days: 31", "not a retention"),
        ("tags: {'aws:x': y}", "not a tag"),
        ("tags: {stack: other}", "is fleetgate's own"),
        ("claims: {}", "claims"),
        ("claims: {a: {active: false}}", "no claim is active"),
        ("embedded_cloud: {gateway_port: 1, mqtt_port: 1}", "two ports"),
        ("embedded_cloud: {gateway_port: 70000}", "gateway_port"),
        ("device_endpoint: {host: x}", "keep one of the two"),
    ],
)
def test_a_mistake_in_an_environment_file_is_told(checkout, line, part):
    path = checkout / "terraform/envs/local.yaml"
    key = line.partition(":")[0]
    lines, skip = [], False
    for old in path.read_text().splitlines():
        skip = old.startswith(f"{key}:") or (skip and old.startswith(" "))
        lines += [] if skip else [old]
    path.write_text("\n".join([*lines, line, ""]))
    with pytest.raises(FleetgateError) as raised:
        environment.load(checkout, "local")
    assert part in str(raised.value) and "terraform/envs/local.yaml:" in str(raised.value)


def test_an_unknown_environment_names_the_known_ones(checkout):
    with pytest.raises(FleetgateError, match="use one of example, local"):
        environment.load(checkout, "prod")


def test_a_name_cannot_leave_the_folder_of_environments(checkout):
    with pytest.raises(FleetgateError, match="no such environment"):
        environment.load(checkout, "../../catalogue/device_types")


def test_the_example_environment_is_valid(checkout):
    assert environment.load(checkout, "example").settings.embedded_cloud is None


def test_a_claim_key_is_born_private_and_never_overwritten(fleet):
    key = fleet.environment.claim_folder("factory-1") / claims.KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    with pytest.raises(FleetgateError, match="is not overwritten"):
        claims.create(fleet.environment, "factory-1")
    assert key.read_bytes() == before


def test_a_claim_whose_signing_request_is_lost_gets_a_new_one_for_the_same_key(fleet):
    key_file, csr_file = (
        fleet.environment.claim_folder("factory-1") / claims.KEY_FILE,
        fleet.environment.claim_csr_file("factory-1"),
    )
    key = key_file.read_bytes()
    csr_file.unlink()
    claims.create(fleet.environment, "factory-1")
    assert key_file.read_bytes() == key
    public = x509.load_pem_x509_csr(csr_file.read_bytes()).public_key()
    assert public == serialization.load_pem_private_key(key, None).public_key()


def test_a_file_that_is_no_key_is_not_taken_for_one(fleet):
    fleet.environment.claim_csr_file("factory-1").unlink()
    (fleet.environment.claim_folder("factory-1") / claims.KEY_FILE).write_text("hello")
    with pytest.raises(FleetgateError, match="is not a private key"):
        claims.create(fleet.environment, "factory-1")


@pytest.mark.parametrize("file", ["catalogue/device_types.yaml", "terraform/envs/local.yaml", "policy_templates/claim.json.j2"])
def test_a_source_that_is_not_utf_8_is_told(checkout, file):
    (checkout / file).write_bytes(b"\xff\xfe")
    with pytest.raises(FleetgateError, match="is not UTF-8 text"):
        build.compile_fleet(environment.load(checkout, "local"))


@pytest.mark.parametrize("name, part", [("../x", "is not a claim name"), ("factory-9", "add `factory-9: {}` under claims")])
def test_a_claim_that_cannot_be_made_is_told(fleet, name, part):
    with pytest.raises(FleetgateError, match=part):
        claims.create(fleet.environment, name)


def test_no_package_takes_in_a_file_through_a_link(checkout, tmp_path):
    (tmp_path / "token").write_text("secret", encoding="utf-8")
    (checkout / "lambda_src/onboarding/token.py").symlink_to(tmp_path / "token")
    with pytest.raises(FleetgateError, match=r"lambda_src/onboarding/token\.py: is a symbolic link"):
        package.sources(checkout, "onboarding")
