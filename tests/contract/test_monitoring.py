"""Alarms, runbook and the hook's metrics speak of the same things."""

import json
import re

import lambdas
from checkouts import ROOT
from fleetgate import build, decisions, environment, package
from fleetgate.capacity import tables

ALARMS = (ROOT / "terraform/modules/monitoring/alarms.tf").read_text(encoding="utf-8")
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")


def headings():
    """Of every alarm the heading it names: its own name, or the one it shares with its like."""
    shared = re.findall(r'heading\s*=\s*"([a-z-]+)"', ALARMS)
    tables = re.findall(r"(?ms)^  (?:failure_rates|_fixed) = \{\n(.*?)^  \}", ALARMS)
    assert len(tables) == 2
    own = [name for table in tables for name in re.findall(r"(?m)^    ([a-z-]+) = \{", table)]
    named = re.findall(r"\$\{var\.runbook\} ([a-z-]+)\"", ALARMS)
    return {*shared, *own, *named}


def test_every_alarm_has_its_heading_in_the_runbook_and_no_heading_is_without_an_alarm():
    assert len(headings()) >= 14
    assert set(re.findall(r"(?m)^## (.+)$", RUNBOOK)) == headings()


def test_the_runbook_speaks_of_every_reason_of_the_hook():
    assert [reason for reason in decisions.DENIALS if f"`{reason}`" not in RUNBOOK] == []


def test_every_module_with_a_topic_rule_has_all_its_rules_watched():
    modules = ROOT / "terraform/modules"
    with_rules = {path.parent.name for path in modules.glob("*/*.tf") if '"aws_iot_topic_rule"' in path.read_text("utf-8")}
    assert with_rules == {"audit", "onboarding"}
    root = (ROOT / "terraform/main.tf").read_text(encoding="utf-8")
    [given] = re.findall(r"(?m)^  rule_names\s*= (.+)$", root)
    assert set(re.findall(r"module\.(\w+)\.rule_names", given)) == with_rules
    for name in with_rules:
        outputs = (modules / name / "outputs.tf").read_text(encoding="utf-8")
        assert "[for rule in aws_iot_topic_rule.this : rule.name]" in outputs


def test_the_runbook_tells_a_burst_of_an_attack_from_what_is_more_than_usual():
    [section] = re.findall(r"(?ms)^## attacks\n(.*?)(?=^## )", RUNBOOK)
    assert "`burst-" in section and "`denied-" in section and "maximum_suspicious_denials" in section


def test_the_runbook_says_of_every_place_that_the_audits_rules_write_to_that_an_event_is_there():
    rules = (ROOT / "terraform/modules/audit/rules.tf").read_text(encoding="utf-8")
    [section] = re.findall(r"(?ms)^## audit-trail\n(.*?)(?=^## |\Z)", RUNBOOK)
    [group] = re.findall(r'resource "aws_cloudwatch_log_group" "events" \{\n  name\s*= "([^"]+)"', rules)
    assert f"`{group.replace('${var.prefix}', '<prefix>')}`" in section and "`<prefix>-audit-dead-letter`" in section


def test_the_alarms_ask_for_metrics_that_the_hook_and_the_census_write():
    asked = set(re.findall(r'namespace\s*=\s*"Fleetgate",?\s*metric(?:_name)?\s*=\s*"(\w+)"', ALARMS.replace("\n", " ")))
    assert asked == {"AuditLinesNotUnderstood", "Decisions", "StuckDevices"}
    report = (ROOT / "lambda_src/provisioning_hook/report.py").read_text(encoding="utf-8")
    assert '["TemplateName", "Reason"]' in report and '"Namespace": "Fleetgate"' in report
    census = lambdas.modules("census", "census").census
    lines = [json.loads(line) for line in census.records({"gateway": census.Count()}, "fleet", 0)]
    assert {tuple(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) for line in lines if "StuckDevices" in line} == {
        ("TemplateName",),
        ("TemplateName", "DeviceType"),
    }


def test_the_audit_function_counts_what_its_alarm_asks_for():
    audit = lambdas.modules("audit", "report", "settings", "trail")
    [line] = audit.report.lines(audit.trail.Delivery([], []), 0, audit.settings.Settings("fleetgate-audit", "group"), None)
    record = json.loads(line)
    [directive] = record["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Fleetgate" and directive["Dimensions"] == [["TableName"]]
    assert [metric["Name"] for metric in directive["Metrics"]] == ["AuditLinesNotUnderstood"]
    assert record["TableName"] == "fleetgate-audit" and record["AuditLinesNotUnderstood"] == 0
    [dimensions] = re.findall(r'"AuditLinesNotUnderstood".*\n\s*dimensions = \{ (\w+) =', ALARMS)
    assert dimensions == "TableName"


def test_the_reasons_that_are_compiled_are_those_of_the_hook(fleet):
    compiled = build.tfvars(fleet, dict.fromkeys(package.FUNCTIONS, b""))["denial_reasons"]
    hook = lambdas.modules("provisioning_hook", "decision").decision
    assert compiled == sorted(reason.value for reason in hook.Reason)


def test_the_quotas_that_an_environment_may_say_have_their_defaults_from_the_table_of_capacity():
    """The module taken alone has to repeat them: Terraform reads no TOML."""
    table, said = tables.quotas().quotas, environment.Quotas()
    assert said.applied == {}
    for name in environment.Quotas.model_fields:
        assert getattr(said, name) == tables.default_rate(name) == table[name].per_second and table[name].small_per_second is None
    variables = (ROOT / "terraform/modules/monitoring/variables.tf").read_text(encoding="utf-8")
    [block] = re.findall(r'(?ms)^variable "quotas_per_second" \{\n(.*?)^\}', variables)
    module = {name: int(value) for name, value in re.findall(r"(\w+)\s*= optional\(number, (\d+)\)", block)}
    assert module == said.model_dump()
