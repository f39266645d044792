"""What is there under our name, as an account answers: with its tags, without any, or not at all."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

import lambdas
from fleetgate import left_behind
from fleetgate.environment import ACCOUNT_VARIABLE
from fleetgate.left_behind import Found


@pytest.fixture
def iam(monkeypatch):
    for name, value in lambdas.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    with mock_aws():
        yield boto3.client("iam")


def test_a_role_without_tags_is_told_as_that_and_not_as_one_whose_tags_may_not_be_seen(iam):
    iam.create_role(RoleName="bare", AssumeRolePolicyDocument="{}")
    iam.create_role(RoleName="tagged", AssumeRolePolicyDocument="{}", Tags=[{"Key": "Stack", "Value": "pumps"}])
    assert left_behind._role("bare") == Found({})
    assert left_behind._role("tagged") == Found({"Stack": "pumps"})
    assert left_behind._role("absent") is None
