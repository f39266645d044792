"""Credentials of another account than the environment's reach nothing there."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from fleetgate import aws
from fleetgate.cli import main
from fleetgate.terraform import Resource, Runner, State

MOTO_ACCOUNT = "123456789012"


@pytest.fixture
def foreign(checkout, monkeypatch):
    """An environment of account 999999999999 while the credentials belong to another, which has a table of the same name."""
    for name in ("FLEETGATE_ACCOUNT_ID", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    text = 'account_id: "999999999999"\nregion: us-east-1\ndeletion_protection: false\nclaims:\n  factory-1: {}\n'
    (checkout / "terraform/envs/foreign.yaml").write_text(text, encoding="utf-8")
    aws._client.cache_clear()
    aws._require_account.cache_clear()
    with mock_aws():
        table = boto3.client("dynamodb", region_name="us-east-1")
        table.create_table(
            TableName="fleetgate-device-registry",
            KeySchema=[{"AttributeName": "serialNumber", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "serialNumber", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        boto3.client("iot", region_name="us-east-1").create_thing(thingName="gateway-GW-000001")
        yield checkout
    aws._client.cache_clear()
    aws._require_account.cache_clear()


@pytest.mark.parametrize(
    "words",
    [
        ["registry", "list"],
        ["registry", "add", "--type", "gateway", "GW-000001"],
        ["registry", "revoke", "GW-000001", "--yes"],
        ["smoke"],
    ],
    ids=" ".join,
)
def test_a_command_stops_before_it_touches_the_other_account(foreign, capsys, words):
    assert main(["--root", str(foreign), *words, "--env", "foreign"]) == 1
    err = capsys.readouterr().err
    assert f"belong to account {MOTO_ACCOUNT}, the environment to 999999999999" in err and "Traceback" not in err
    assert boto3.client("dynamodb", region_name="us-east-1").scan(TableName="fleetgate-device-registry")["Items"] == []


def test_a_destroy_removes_nothing_there_either(foreign, capsys, monkeypatch):
    resources = (
        Resource("aws_dynamodb_table", None, {"name": "fleetgate-device-registry", "hash_key": "serialNumber"}),
        Resource("aws_iot_thing_type", "gateway", {"name": "gateway"}),
        Resource("aws_iot_policy", "gateway", {"name": "fleetgate-gateway"}),
    )
    monkeypatch.setattr(Runner, "init", lambda self: None)
    monkeypatch.setattr(Runner, "state", lambda self: State({}, resources))
    monkeypatch.setattr(Runner, "destroy", lambda self, var_file: pytest.fail("Terraform was called"))
    main(["--root", str(foreign), "claim", "create", "factory-1", "--env", "foreign"])
    assert main(["--root", str(foreign), "destroy", "--yes", "--env", "foreign"]) == 1
    assert "belong to account" in capsys.readouterr().err
    assert boto3.client("iot", region_name="us-east-1").list_things()["things"]


def test_the_accounts_own_credentials_are_let_through(foreign, capsys, monkeypatch):
    path = foreign / "terraform/envs/foreign.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("999999999999", MOTO_ACCOUNT), encoding="utf-8")
    assert main(["--root", str(foreign), "registry", "add", "--type", "gateway", "GW-000001", "--env", "foreign"]) == 0
    assert "1 added" in capsys.readouterr().out
