"""What a fleet survives: connections cut anywhere, a cloud that goes away, a hook that fails, a disk that is full, Ctrl-C.

Whatever happens: nothing is provisioned twice, nothing is lost, and the same command brings in the rest.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clouds import ENVIRONMENT, TYPE, row, wait_for, walk
from fleetgate.device import Rejected, RetryPolicy
from fleetgate.identity import IdentityFolder
from proxies import Proxy

#: A device in a hurry: how long the pauses of the back-off are is not what is tested here.
IMPATIENT = RetryPolicy(base_seconds=0.01, cap_seconds=0.05, step_seconds=20)


def register_serials(cloud, prefix, device_type, number=1):
    first = uuid.uuid4().int % 700_000 + 100_000
    serials = [f"{prefix}-{first + n:06}" for n in range(number)]
    cloud.run("registry", "add", "--type", device_type, *serials)
    return serials


def rows(cloud, serials):
    """The registry's rows of these serials, in one reading."""
    pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=cloud.fleet().names.table, ConsistentRead=True)
    plain = [{name: next(iter(value.values())) for name, value in item.items()} for page in pages for item in page["Items"]]
    return [found for found in plain if found["serialNumber"] in set(serials)]


def all_active(cloud, serials):
    def statuses():
        return {found["status"] for found in rows(cloud, serials)}

    return wait_for(statuses, {"active"}, 60) == {"active"}


def in_once(cloud, device_type, serials, folder):
    """Asserts of each device that it is in, once, with the certificate whose key it has, and that no other one has its policy."""
    iot = cloud.client("iot")
    found = rows(cloud, serials)
    assert sorted(one["serialNumber"] for one in found) == sorted(serials)
    for one in found:
        kept = IdentityFolder(folder / one["serialNumber"]).load()
        assert (one["status"], one["certificateId"]) == ("active", kept.certificate_id)
        [principal] = iot.list_thing_principals(thingName=one["thingName"])["principals"]
        assert principal.endswith(f"cert/{kept.certificate_id}")
    # And of all certificates with the policy, whoever made them, one each has these things.
    pages = iot.get_paginator("list_targets_for_policy").paginate(policyName=cloud.fleet().names.types[device_type].policy)
    held = [name for page in pages for arn in page["targets"] for name in iot.list_principal_things(principal=arn)["things"]]
    ours = sorted(one["thingName"] for one in found)
    assert sorted(name for name in held if name in ours) == ours


# --- connections that are cut ---


def test_a_device_whose_connection_is_cut_anywhere_comes_in_once_and_by_itself(cloud, tmp_path):
    """At each TLS record of the whole exchange: handshake, connect, subscriptions, both requests and both answers."""

    def come_in(serial, cut_at=None):
        device = walk(cloud, serial, tmp_path / serial)
        endpoint = device.gate.endpoint
        with Proxy((endpoint.host, endpoint.port), cut_at).running() as proxy:
            device.gate = dataclasses.replace(device.gate, endpoint=endpoint.model_copy(update={"port": proxy.port}))
            device.retry = IMPATIENT
            for attempt in range(5):
                try:
                    found, _ = device.register()
                except Rejected:  # on a busy machine the hook may run out of its time, which is a denial or an error
                    if attempt == 4:
                        raise
                else:
                    break
            device.connect(found).close()
        return proxy

    [whole] = register_serials(cloud, "TEMP", TYPE)
    records = come_in(whole).records
    assert records > 40
    serials = register_serials(cloud, "TEMP", TYPE, records)
    with ThreadPoolExecutor(8) as pool:
        proxies = list(pool.map(come_in, serials, range(1, records + 1)))
    # How many records there are differs a little from time to time, so the last cuts may come too late.
    assert all(proxy.connections >= 2 for proxy in proxies)
    assert sum(proxy.records >= proxy.cut_at and proxy.connections > 2 for proxy in proxies) > 0.8 * records
    assert all_active(cloud, [whole, *serials])
    in_once(cloud, TYPE, [whole, *serials], tmp_path)


# --- a cloud that goes away ---


def test_a_cloud_that_goes_away_in_the_middle_of_a_hundred_devices_loses_none_and_lets_none_in_twice(cloud, tmp_path):
    register_serials(cloud, "PRES", "pressure-sensor", 100)
    words = ["device", "provision", "--type", "pressure-sensor", "--parallel", "8", "--keys", str(tmp_path), "--json"]
    command = [sys.executable, "-m", "fleetgate", "--root", str(cloud.root), *words, "--env", ENVIRONMENT, "--count", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert wait_for(lambda: len(list(tmp_path.glob("*/identity.json"))) >= 30, True, 600)
        cloud.run("cloud", "down")
        said, told = process.communicate(timeout=900)
    assert process.returncode == 1 and "Traceback" not in told
    before = json.loads(said)
    assert 0 < len(before["provisioned"]) < 100 and len(before["provisioned"]) + len(before["failed"]) == 100
    assert all(failure["remedy"] for failure in before["failed"])

    cloud.run("cloud", "up")
    reports = [before]
    while reports[-1]["failed"] and len(reports) < 6:  # on a busy machine the hook may run out of its time, which is a denial
        done = cloud.run(*words, "--count", str(len(reports[-1]["failed"])), status=None)
        reports.append(json.loads(done.stdout))
    # Which hundred, the command chooses: other tests may have left registered ones.
    serials = [device["serialNumber"] for report in reports for device in report["provisioned"]]
    assert len(serials) == len(set(serials)) == 100  # none of them twice

    # Events on their way went down with this cloud; AWS keeps them. A device that was cut off connects again in any case.
    for found in rows(cloud, serials):
        if found["status"] != "active":
            device = walk(cloud, found["serialNumber"], tmp_path / found["serialNumber"], "pressure-sensor")
            device.connect(device.folder.load()).close()
    assert all_active(cloud, serials)
    in_once(cloud, "pressure-sensor", serials, tmp_path)


# --- a hook that fails ---

CRASH = "raise RuntimeError('no settings')\n"
SLOW = """
import time


def handler(event, context):
    time.sleep(8)
    return {"allowProvisioning": True, "parameterOverrides": {}}
"""
THROTTLED = """
import registry
from botocore.exceptions import ClientError


class Throttled:
    def update_item(self, **request):
        said = {"Error": {"Code": "ProvisionedThroughputExceededException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        raise ClientError(said, "UpdateItem")


registry.connect = Throttled
"""


@pytest.mark.parametrize(
    "code, keep",
    [(CRASH, False), (SLOW, False), (THROTTLED, True)],
    ids=["crashes", "takes longer than its time", "has a registry that is throttled"],
)
def test_a_hook_that_fails_lets_nobody_in_and_once_it_is_mended_the_same_certificate_comes_in(cloud, tmp_path, code, keep):
    """keep: the true handler comes after the code."""
    [serial] = register_serials(cloud, "TEMP", TYPE)
    hook, functions = cloud.fleet().names.hook, cloud.client("lambda")
    package_file = cloud.environment().build / "provisioning_hook.zip"
    broken = io.BytesIO()
    with zipfile.ZipFile(package_file) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            text = source.read(name).decode()
            if name == "handler.py":
                future = "from __future__ import annotations\n"
                text = future + code + text.replace(future, "") if keep else code
            target.writestr(name, text)
    device = walk(cloud, serial, tmp_path / serial)
    device.retry = dataclasses.replace(IMPATIENT, bad_request_attempts=1)
    functions.update_function_code(FunctionName=hook, ZipFile=broken.getvalue())
    try:
        with pytest.raises(Rejected):  # MiniStack answers 400 to a hook that failed and 403 to one that denied, AWS 403 to both
            device.register()
        assert row(cloud, serial)["status"] == "registered"
        with pytest.raises(cloud.client("iot").exceptions.ResourceNotFoundException):
            cloud.client("iot").describe_thing(thingName=f"{TYPE}-{serial}")
    finally:
        functions.update_function_code(FunctionName=hook, ZipFile=package_file.read_bytes())
    asked = IdentityFolder(tmp_path / serial).load()
    cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--keys", str(tmp_path))
    assert all_active(cloud, [serial])
    assert IdentityFolder(tmp_path / serial).load().certificate_id == asked.certificate_id
    in_once(cloud, TYPE, [serial], tmp_path)


# --- a disk that is full ---


@pytest.mark.parametrize("write", range(4), ids=["key", "certificate", "state before", "state after registration"])
def test_a_disk_that_is_full_at_any_write_leaves_no_half_key_and_the_serial_free_to_come_in(cloud, tmp_path, monkeypatch, write):
    [serial] = register_serials(cloud, "TEMP", TYPE)
    left = iter(range(100))
    flush = os.fsync

    def full(handle):
        if Path(f"/proc/self/fd/{handle}").resolve().name.endswith(".new") and next(left) == write:
            os.ftruncate(handle, 10)  # what a full disk leaves of a file
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "fsync", full)
        walk(cloud, serial, tmp_path / serial).register()
    key = tmp_path / serial / "key.pem"
    assert not key.exists() or (
        key.read_text().strip().endswith("-----END RSA PRIVATE KEY-----") and key.stat().st_mode & 0o77 == 0
    )
    cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--keys", str(tmp_path))
    assert all_active(cloud, [serial])
    in_once(cloud, TYPE, [serial], tmp_path)


def test_a_file_system_that_takes_no_more_is_one_message_and_the_same_command_goes_on(cloud, tmp_path):
    """The real command with a real limit: the kernel writes a part of the key and refuses the rest."""
    [serial] = register_serials(cloud, "TEMP", TYPE)
    words = ("device", "provision", "--type", TYPE, "--serial", serial, "--keys", str(tmp_path))
    command = [sys.executable, "-m", "fleetgate", "--root", str(cloud.root), *words, "--env", ENVIRONMENT]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "File too large" in said and "run the same command again" in said and "Traceback" not in said
    assert not (tmp_path / serial / "key.pem").exists() and row(cloud, serial)["status"] == "registered"
    cloud.run(*words)
    assert all_active(cloud, [serial])
    assert sorted(path.name for path in (tmp_path / serial).iterdir()) == ["certificate.pem", "identity.json", "key.pem", "lock"]
    in_once(cloud, TYPE, [serial], tmp_path)


# --- Ctrl-C ---


def interrupted(cloud, *words, at):
    """Runs a command as a terminal does, with Ctrl-C once a line with `at` has come. Returns its status and what it said."""
    command = [sys.executable, "-m", "fleetgate", "--root", str(cloud.root), *words, "--env", ENVIRONMENT]
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        for line in process.stdout:
            said.append(line)
            if at in line:
                os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to Terraform and its provider as well
                at = "pressed once"
        process.wait(timeout=1800)
    return process.returncode, "".join(said)


def test_an_apply_and_a_destroy_that_are_interrupted_are_finished_by_the_same_command(own_cloud):
    cloud = own_cloud
    cloud.run("plan")
    # Late, when nothing but a queue is under way: what AWS has made and not yet answered, Terraform never hears of.
    status, said = interrupted(cloud, "apply", "--no-smoke", at="Still creating... [20s elapsed]")
    assert status == 130 and "Traceback" not in said, said
    began = json.loads((cloud.environment().build / "terraform.tfstate").read_text())["resources"]
    assert began and not list((cloud.environment().build).glob("*.lock.info"))
    cloud.apply()
    assert "nothing to change" in cloud.apply()
    [serial] = register_serials(cloud, "TEMP", TYPE)
    cloud.run("device", "provision", "--type", TYPE, "--serial", serial)
    status, said = interrupted(cloud, "destroy", "--yes", at="Destruction complete")
    assert status == 130 and "Traceback" not in said, said
    cloud.run("destroy", "--yes")
    iot = cloud.client("iot")
    assert not iot.list_things()["things"] and not iot.list_certificates()["certificates"] and not iot.list_policies()["policies"]
    assert not cloud.client("dynamodb").list_tables()["TableNames"]
