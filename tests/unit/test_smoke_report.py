"""The result of the smoke checks as data and JUnit XML, and the parts of the checks that need no cloud."""

from __future__ import annotations

import json
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from fleetgate import smoke_bounds, smoke_checker, smoke_hook, smoke_report
from fleetgate.errors import fail
from fleetgate.mqtt import Refused
from fleetgate.smoke_checker import Checker, CheckFailed
from fleetgate.smoke_report import Check, Status

CHECKS = [
    Check("template.body", "it is the rendered one", Status.PASSED, "1205 characters", seconds=0.25),
    Check("device.gateway.log", "the log shows it", Status.FAILED, 'saw <&"\x00\ud800>', "a \x1b cause", "do & see", 1.5),
    Check("device.gateway.shadow", "it reads it", Status.SKIPPED, "needs connects"),
]


def test_junit_is_one_suite_whose_numbers_agree_with_its_cases():
    root = ElementTree.fromstring(smoke_report.to_junit(CHECKS, "local").encode())
    (suite,) = root.findall("testsuite")
    assert root.tag == "testsuites" and suite.get("name") == "fleetgate smoke local"
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("3", "1", "0", "1")
    assert (root.get("tests"), root.get("failures"), root.get("time")) == ("3", "1", "1.750")
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        ("smoke.template", "body"),
        ("smoke.device.gateway", "log"),
        ("smoke.device.gateway", "shadow"),
    ]
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["skipped"]]


def test_junit_holds_cause_and_next_step_and_nothing_that_is_no_xml():
    text = smoke_report.to_junit(CHECKS, "local")
    failure = ElementTree.fromstring(text.encode()).find(".//failure")
    assert failure is not None and failure.get("message") == 'saw <&"\ufffd\ufffd>'
    assert "likely cause: a \ufffd cause" in failure.text and "next step: do & see" in failure.text


def test_one_failure_fails_the_run_and_a_skipped_check_does_not():
    assert not smoke_report.passed(CHECKS)
    assert smoke_report.passed([CHECKS[0], CHECKS[2]])
    assert smoke_report.counts(CHECKS) == {"passed": 1, "failed": 1, "skipped": 1}


def test_the_json_is_plain_data_with_everything_a_program_asks_for():
    found = json.loads(json.dumps(smoke_report.to_json(CHECKS[:1])))
    assert found["passed"] is True and found["summary"] == {"passed": 1, "failed": 0, "skipped": 0}
    assert found["checks"][0] == {
        "name": "template.body",
        "title": "it is the rendered one",
        "status": "passed",
        "detail": "1205 characters",
        "cause": "",
        "next_step": "",
        "seconds": 0.25,
    }


def raising(error):
    def look():
        raise error

    return look


def run(checker, name, look, *needs):
    return checker.run(name, "title", look, cause="cause", next_step="step", needs=needs)


def test_checks_go_on_after_a_failure_and_only_what_needs_it_is_skipped():
    said = []
    checker = Checker(said.append, threading.Event())
    assert run(checker, "a.one", lambda: "fine")
    assert not run(checker, "a.two", raising(CheckFailed("bad", "own cause", "own step")))
    assert not run(checker, "a.three", raising(AssertionError("never called")), "a.two")
    assert run(checker, "a.four", lambda: "fine", "a.one")
    assert [check.status.value for check in checker.checks] == ["passed", "failed", "skipped", "passed"]
    assert (checker.checks[1].cause, checker.checks[1].next_step) == ("own cause", "own step")
    assert checker.checks[2].detail == "needs two"
    assert said == checker.checks


@pytest.mark.parametrize(
    "error", [fail("w", "what", "r"), Refused("what", "r"), OSError(2, "what", "f")], ids=["fleet", "mqtt", "os"]
)
def test_errors_of_the_world_outside_are_failed_checks_with_cause_and_next_step(error):
    checker = Checker(lambda _: None, threading.Event())
    run(checker, "a", raising(error))
    (check,) = checker.checks
    assert check.status is Status.FAILED and "what" in check.detail and (check.cause, check.next_step) == ("cause", "step")


def test_an_interrupted_run_looks_at_nothing_more():
    stop = threading.Event()
    stop.set()
    checker = Checker(lambda _: None, stop)
    run(checker, "a", raising(AssertionError("never called")))
    assert checker.checks[0].status is Status.SKIPPED


def test_a_check_that_was_cut_short_is_no_finding():
    stop = threading.Event()
    checker = Checker(lambda _: None, stop)

    def look():
        stop.set()
        raise CheckFailed("no shadow came")

    assert not run(checker, "a", look)
    assert (checker.checks[0].status, checker.checks[0].detail) == (Status.SKIPPED, "interrupted")


@pytest.mark.parametrize(
    "statuses, line",
    [
        ("p", "  ok      gateway: 1 check (3.4 s)"),
        ("pp", "  ok      gateway: 2 checks (3.4 s)"),
        ("pfs", "  FAILED  gateway: 1 passed, 1 failed, 1 skipped (3.4 s)"),
        ("ff", "  FAILED  gateway: 2 failed (3.4 s)"),
        ("sp", "  skipped gateway: 1 passed, 1 skipped (3.4 s)"),
    ],
)
def test_a_group_is_told_in_one_line_with_its_worst(statuses, line):
    known = {"p": Status.PASSED, "f": Status.FAILED, "s": Status.SKIPPED}
    checks = [Check("device.gateway.a", "title", known[status], "detail") for status in statuses]
    assert smoke_report.group_line("gateway", checks, 3.42) == line


def test_what_did_not_pass_is_told_with_cause_and_next_step():
    assert smoke_report.troubles(CHECKS[:1]) == []
    failed, skipped = smoke_report.troubles(CHECKS)
    assert failed[:2] == ("device.gateway.log", "failed")
    assert failed[2].startswith("not true that the log shows it: saw <&") and "likely cause: a" in failed[2]
    assert failed[2].endswith("\n-> do & see")
    assert skipped == ("device.gateway.shadow", "skipped", "needs connects")


def test_a_stranger_s_telemetry_is_foreign_unless_the_type_may_speak_on_its_behalf(fleet):
    sensor = smoke_bounds.foreign_topics(fleet, "temperature-sensor", "stranger")
    assert "sensors/temperature/stranger/status" in sensor and "gateway/stranger/status" in sensor
    gateway = smoke_bounds.foreign_topics(fleet, "gateway", "stranger")
    assert "gateway/stranger/status" in gateway
    spoken_for = {f"sensors/{kind}/stranger/status" for kind in ("temperature", "humidity", "pressure")}
    assert spoken_for <= set(sensor) | {"sensors/temperature/stranger/status"} and not spoken_for & set(gateway)


def test_eventually_returns_what_is_found_and_gives_up_in_time():
    answers = iter([None, None, "there"])
    assert smoke_checker.eventually(lambda: next(answers), 5, threading.Event()) == "there"
    assert smoke_checker.eventually(lambda: None, 0.05, threading.Event()) is None
    stopped = threading.Event()
    stopped.set()
    assert smoke_checker.eventually(lambda: None, 60, stopped) is None


DECISION = {
    "event": "provisioning_decision",
    "allowed": False,
    "reason": "revoked",
    "certificateId": "c",
    "_aws": {"Timestamp": 1795786722095},
}


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(DECISION),
        json.dumps({"level": "INFO", "message": DECISION}),
        json.dumps({"level": "INFO", "message": json.dumps(DECISION)}),
    ],
    ids=["plain", "wrapped", "wrapped text"],
)
def test_a_decision_is_found_among_other_log_lines_however_lambda_writes_it(line):
    assert smoke_hook.decisions_in(["START RequestId: 1", "{broken", "[]", '{"event": "other"}', line, "END"]) == [DECISION]


def test_a_directly_asked_hook_gets_an_event_whose_id_fits_its_certificate():
    pem = smoke_hook.self_made_certificate()
    event = smoke_hook.event("arn", "0" * 64, pem, {"SerialNumber": "S-1"})
    assert set(event) == {
        "claimCertificateId", "certificateId", "certificatePem", "templateArn", "clientId", "parameters"
    }  # fmt: skip
    assert event["parameters"] == {"SerialNumber": "S-1", "AWS::IoT::Certificate::Id": event["certificateId"]}
    assert event["certificateId"] != smoke_hook.event("arn", "", smoke_hook.self_made_certificate(), {})["certificateId"]
