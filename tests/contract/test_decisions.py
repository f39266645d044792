"""Every reason that the hook can give is explained, and the commands of the explanations exist."""

from __future__ import annotations

import re

import pytest

import lambdas
from fleetgate import cli, decisions

hook = lambdas.modules("provisioning_hook", "decision", "report")


def test_the_explained_reasons_are_the_hooks():
    assert set(decisions.REASONS) == {reason.value for reason in hook.decision.Reason} | {"allowed"}


@pytest.mark.parametrize("reason", decisions.REASONS)
def test_a_next_step_names_only_commands_that_there_are(reason):
    record = {"reason": reason, "allowed": False, "serialNumber": "S-1", "DeviceType": "gateway", "_aws": {"Timestamp": 0}}
    explained = decisions.explain(record, "moto")
    assert explained["meaning"] and not re.search(r"[{}]", explained["nextStep"])
    for command in re.findall(r"fleetgate ([^;,]*)", explained["nextStep"]):
        assert "--env moto" in command
        cli.parser().parse_args(command.split())


def test_hook_and_tools_call_a_decision_alike():
    rules = hook.decision.Rules(lambdas.TEMPLATE_ARN, frozenset(), {})
    line = hook.report.line({}, hook.decision.Decision(hook.decision.Reason.REVOKED, None, {}), rules, 1, None)
    [record] = decisions.decisions_in([line])
    assert decisions.explain(record, "moto")["reason"] == "revoked"
