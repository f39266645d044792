"""Every deed leaves an entry, in the audit trail's table and in the file; a dry run leaves none, and changes nothing."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
from types import SimpleNamespace

import boto3
import pytest

import hook_events
import lambdas
from checkouts import ROOT
from fleetgate import audit, build, cli, decommission, environment
from fleetgate.environment import ACCOUNT_VARIABLE
from fleetgate.errors import fail
from fleetgate.registry import Registry
from fleetgate.terraform import Resource, Runner, State

TYPE, SERIAL, THING = hook_events.TYPE, hook_events.SERIAL, hook_events.THING
POLICY = f"fleetgate-{TYPE}"


@pytest.fixture
def lines(checkout):
    """The entries of the file."""
    path = checkout / "build/moto/audit.jsonl"
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.fixture
def applied(registry, monkeypatch):
    """One device of a fleet that Terraform owns a table, a type and a policy of. moto cannot list shadows."""
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    monkeypatch.setattr(decommission, "_remove_shadows", lambda thing: None)
    resources = (
        Resource("aws_dynamodb_table", None, {"name": lambdas.TABLE, "hash_key": "serialNumber"}),
        Resource("aws_iot_thing_type", TYPE, {"name": TYPE}),
        Resource("aws_iot_policy", TYPE, {"name": POLICY}),
    )
    fake = SimpleNamespace(resources=resources, destroyed=0, fails=False)

    def destroy(self, var_file):
        fake.destroyed += 1
        if fake.fails:
            raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "init", lambda self: None)
    monkeypatch.setattr(Runner, "state", lambda self: State({}, fake.resources))
    monkeypatch.setattr(Runner, "destroy", destroy)
    iot = boto3.client("iot")
    iot.create_policy(policyName=POLICY, policyDocument="{}")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=POLICY, target=made["certificateArn"])
    iot.create_thing(thingName=THING)
    iot.attach_thing_principal(thingName=THING, principal=made["certificateArn"])
    registry.put(status="active", certificateId=made["certificateId"], thingName=THING)
    fake.things = lambda: [thing["thingName"] for thing in iot.list_things()["things"]]
    return fake


def deeds(registry):
    return [(entry["operation"], entry["subject"], entry["complete"]) for entry in registry.trail()]


def test_a_drain_is_in_the_history_of_the_device_and_of_the_type(fleetgate, registry, applied, lines):
    status, out, err = fleetgate("drain", "--type", TYPE, "--dry-run")
    assert status == 0 and f"1 device with shadows and certificates: {THING}" in out and "nothing was changed (--dry-run)" in err
    assert applied.things() == [THING] and registry.row()["status"] == "active" and lines() == []
    assert fleetgate("drain", "--type", TYPE, "--yes")[0] == 0 and applied.things() == []
    assert sorted(deeds(registry)) == [("DRAIN", SERIAL, True), ("DRAIN", TYPE, True)]
    [line] = lines()
    assert (line["action"], line["subject"], line["complete"]) == ("drain", TYPE, True) and lambdas.ACCOUNT in line["who"]
    boto3.client("logs").create_log_group(logGroupName=lambdas.HOOK_LOG_GROUP)
    assert f"thing {THING}: removed" in " ".join(fleetgate("audit", SERIAL, "--json")[1].split())


def test_an_interrupted_drain_tells_of_each_device_what_became_of_it(fleetgate, registry, applied, lines, monkeypatch):
    iot = boto3.client("iot")
    serials = [SERIAL, *(f"TEMP-{number:06}" for number in range(101, 125))]
    for serial in serials[1:]:
        iot.create_thing(thingName=f"{TYPE}-{serial}")
        registry.put(serialNumber=serial, status="active", certificateId="c" * 64, thingName=f"{TYPE}-{serial}")
    real, last = decommission.remove_device, serials[-1]

    def remove(thing, *how):
        if thing == f"{TYPE}-{serials[3]}":
            raise KeyboardInterrupt
        real(thing, *how)

    monkeypatch.setattr(decommission, "remove_device", remove)
    assert fleetgate("drain", "--type", TYPE, "--yes")[0] == 130
    left = {thing.removeprefix(f"{TYPE}-") for thing in applied.things()}
    assert {serials[3], last} <= left and SERIAL not in left
    told = {entry["subject"]: (entry["done"], entry["complete"]) for entry in registry.trail()}
    assert told.pop(serials[3]) == ([f"thing {TYPE}-{serials[3]}: begun to remove"], False)
    assert told.pop(TYPE)[1] is False
    gone = set(serials) - left
    assert told == {serial: ([f"thing {TYPE}-{serial}: removed with its certificates"], True) for serial in gone}
    [line] = lines()
    assert line["complete"] is False and line["done"][0].startswith(f"{len(gone)} device")
    assert f"{TYPE}-{serials[3]}" not in " ".join(line["done"])


def test_a_destroy_leaves_its_entry_in_the_file_since_the_table_goes_with_it(fleetgate, registry, applied, lines, checkout):
    local = environment.load(checkout, "moto")
    assert fleetgate("claim", "create", "factory-1")[0] == 0 and local.claim_csr_file("factory-1").is_file()
    status, out, err = fleetgate("destroy", "--dry-run")
    assert status == 0 and f"1 device with shadows and certificates: {THING}" in out and "3 resources of Terraform's" in out
    assert "nothing was changed" in err and applied.destroyed == 0 and applied.things() == [THING]
    before = registry.trail()
    assert fleetgate("destroy", "--yes")[0] == 0 and applied.destroyed == 1 and applied.things() == []
    [line] = lines()[1:]
    assert (line["action"], line["subject"], line["complete"]) == ("destroy", "moto", True)
    assert line["done"][-1] == "3 resources of Terraform's: destroyed" and any(THING in step for step in line["done"])
    assert registry.trail() == before


def test_an_interrupted_destroy_is_in_both_as_not_completed(fleetgate, registry, applied, lines):
    assert fleetgate("claim", "create", "factory-1")[0] == 0
    applied.fails = True
    assert fleetgate("destroy", "--yes")[0] == 130
    assert lines()[-1]["done"][-1] == "begun: 3 resources of Terraform's: destroyed" and lines()[-1]["complete"] is False
    assert {("DESTROY", "moto", False), ("DESTROY", SERIAL, True)} <= set(deeds(registry))
    applied.resources = ()
    status, out, _ = fleetgate("destroy", "--dry-run")
    assert status == 0 and "nothing: it is not applied" in out


def untouched(checkout, applied, lines):
    return applied.things() == [THING] and applied.destroyed == 0 and lines() == [] and not (checkout / "build/moto").exists()


def test_destroy_looks_asks_and_only_then_writes(fleetgate, registry, applied, lines, checkout):
    status, _, err = fleetgate("destroy")
    assert status == 1 and "--yes" in err and untouched(checkout, applied, lines)
    assert f"1 device with shadows and certificates: {THING}" in err  # what the answer is to


@pytest.mark.parametrize("by", ["the file", "AWS"])
def test_what_is_protected_is_named_first_by_a_dry_run_and_refused_by_destroy_before_it_asks_or_writes(
    fleetgate, registry, applied, lines, checkout, by
):
    if by == "the file":
        file = checkout / "terraform/envs/moto.yaml"
        file.write_text(file.read_text().replace("deletion_protection: false\n", ""))
        said, mended = "terraform/envs/moto.yaml: deletion_protection is on", "write deletion_protection: false there"
    else:
        applied.resources[0].values["deletion_protection_enabled"] = True
        said, mended = f"table {lambdas.TABLE}: still protected from deletion", "run make apply ENV=moto first"
    status, out, err = fleetgate("destroy", "--dry-run")
    _, first, second, *rest = out.splitlines()
    assert status == 0 and said in first and mended in second and "nothing was changed" in err
    assert f"1 device with shadows and certificates: {THING}" in rest[0]
    status, out, err = fleetgate("destroy")
    assert status == 1 and said in err and mended in err and "Nobody is there to answer" not in err
    assert untouched(checkout, applied, lines)


def test_what_is_done_to_a_claim_is_told_with_its_reason(fleetgate, registry, lines, checkout, monkeypatch):
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    local = environment.load(checkout, "moto")
    key = local.claim_folder("factory-1") / "key.pem"
    status, out, _ = fleetgate("claim", "create", "factory-1", "--dry-run")
    assert status == 0 and str(key) in out and not key.exists() and lines() == []
    assert fleetgate("claim", "create", "factory-1")[0] == 0
    pem = key.read_bytes()
    key.unlink()
    for words in (["--dry-run"], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pem)))
        assert fleetgate("claim", "restore", "factory-1", *words)[0] == 0 and key.exists() is not bool(words)
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0
    assert fleetgate("claim", "retire", "factory-1", "--yes", "--reason", "key leaked")[0] == 0
    assert sorted(deeds(registry)) == [
        ("CLAIM CREATE", "factory-1", True),
        ("CLAIM RESTORE", "factory-1", True),
        ("CLAIM RETIRE", "factory-1", True),
        ("CLAIM ROTATE", "factory-1", True),
        ("CLAIM ROTATE", "factory-1-r2", True),
    ]
    assert [(line["action"], line["why"]) for line in lines()] == [
        ("claim create", ""),
        ("claim restore", ""),
        ("claim rotate", ""),
        ("claim retire", "key leaked"),
    ]
    assert {line["who"].startswith("arn:aws:") for line in lines()} == {True}
    assert "PRIVATE" not in json.dumps([lines(), registry.trail()], default=str)


@pytest.mark.parametrize("is_read", [True, False], ids=["terminal", "log"])
@pytest.mark.parametrize("is_full", [True, False], ids=["full disk", "room"])
def test_a_log_gets_each_entry_and_a_terminal_only_what_would_be_lost(fleetgate, checkout, monkeypatch, capsys, is_read, is_full):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_read)
    monkeypatch.setattr(audit, "_append", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")) if is_full else None)
    fleet = build.compile_fleet(environment.load(checkout, "moto"))
    with audit.recorded(fleet, "claim retire", "factory-1", None) as deed:
        deed.did("it is retired")
    err = capsys.readouterr().err
    assert err.count('"action": "claim retire"') == (is_full or not is_read)
    with pytest.raises(RuntimeError), audit.recorded(fleet, "registry add", "A", None) as deed:
        deed.did("A is added")
        raise RuntimeError
    assert capsys.readouterr().err.count('"action": "registry add"') == 1  # how far it came, nothing else says
    assert ("keep the line above" in err) is is_full and (not is_full or err.index('"action"') < err.index("keep the line above"))


@pytest.mark.parametrize("cause", ["no cloud", "another account"])
def test_a_claim_is_made_where_nobody_can_be_asked_and_the_file_says_by_whom(
    fleetgate, registry, lines, monkeypatch, checkout, cause
):
    from fleetgate import aws

    if cause == "no cloud":
        monkeypatch.setattr("fleetgate.cloud.require", lambda env: (_ for _ in ()).throw(fail("cloud", "is not there", "")))
    else:
        monkeypatch.setattr(aws, "account_of", lambda config: "999999999999")
    status, _, err = fleetgate("claim", "create", "factory-1")
    assert status == 0 and "did not take" not in err and registry.trail() == []
    [line] = lines()
    assert line["who"] == audit.here() and "@" in line["who"]


def test_added_serials_have_an_entry_each_and_one_line_names_them_all(fleetgate, registry, lines):
    registry.put(serialNumber="TEMP-000002")
    words = ("registry", "add", "--type", TYPE, "TEMP-000001..TEMP-000004")
    status, out, err = fleetgate(*words, "--dry-run")
    assert status == 0 and "3 added" in out and "1 already there" in out and "nothing was changed" in err
    assert registry.size() == 1 and registry.trail() == lines() == []
    assert fleetgate(*words)[0] == 0 and registry.size() == 4
    assert sorted(deeds(registry)) == [("REGISTRY ADD", f"TEMP-00000{n}", True) for n in (1, 3, 4)]
    [line] = lines()
    assert line["done"] == [f"registered as {TYPE}: TEMP-000001, TEMP-000003..TEMP-000004"]
    assert fleetgate(*words)[0] == 0 and len(lines()) == 1  # nothing was added, nothing is told


def test_what_was_added_before_a_failure_has_its_entries_as_far_as_the_table_has_its_rows(
    fleetgate, registry, lines, monkeypatch
):
    real, begun, refused = Registry.add, threading.Event(), threading.Event()

    def add(self, row, now):
        if row.serial == "TEMP-000001":
            begun.wait()
            refused.set()
            raise fail("registry", "is throttled", "try again")
        begun.set()
        refused.wait()
        return real(self, row, now)

    monkeypatch.setattr(Registry, "add", add)
    assert fleetgate("registry", "add", "--type", TYPE, "TEMP-000001..TEMP-000100")[0] == 1
    rows = {f"TEMP-{number:06}" for number in range(1, 101)} & registry.serials()
    assert rows and len(rows) < 99
    assert {(entry["subject"], entry["complete"]) for entry in registry.trail()} == {(serial, True) for serial in rows}
    [line] = lines()
    assert line["complete"] is False and line["done"] and "TEMP-000001" not in line["done"][0]


@pytest.mark.parametrize("words", [["claim", "create", "factory-1"], ["registry", "add", "--type", TYPE, SERIAL]], ids=" ".join)
def test_what_only_adds_asks_nobody(fleetgate, registry, words):
    assert fleetgate(*words)[0] == 0


ONLY_READ = {
    *("catalogue check", "lint", "explain", "authorize", "isolation", "access-diff", "capacity", "drift", "deployer-policy"),
    *("cloud status", "state show", "registry show", "registry why", "registry list", "devices list", "devices show"),
    *("claim list", "doctor", "audit", "dashboard"),
}
#: What writes and has no --dry-run, and why.
WRITES_AT_ONCE = {
    "catalogue schema": "writes one file, which follows from the catalogue",
    "render": "writes under build/, and that again",
    "package": "writes under build/, and that again",
    "plan": "is apply's own dry run; of the embedded cloud's claims it makes those that are missing",
    "apply": "does what the saved plan says, which was there to be read",
    "smoke": "takes its canaries away again",
    "cloud up": "starts a process of this machine",
    "cloud down": "ends it; its state is kept",
    "device provision": "is a device, and no tool of the operator",
}


def commands(parser, words=()):
    """Each command that has no commands of its own."""
    groups = [action for action in parser._actions if hasattr(action, "_name_parser_map")]
    for group in groups:
        for word, child in group.choices.items():
            yield from commands(child, (*words, word))
    if not groups:
        yield " ".join(words), parser


def test_whatever_writes_can_say_first_what_it_would_do_in_the_same_words_or_has_a_reason_not_to():
    said = {name: parser._option_string_actions.get("--dry-run") for name, parser in commands(cli.parser())}
    without = [name for name, option in said.items() if option is None]
    assert sorted(without) == sorted([*ONLY_READ, *WRITES_AT_ONCE])
    assert {option.help.partition(": ")[2] or option.help for option in said.values() if option} == {
        "only show what it would do, and change nothing"
    }


def test_the_changelog_names_each_command_that_writes_at_once():
    text = " ".join((ROOT / "CHANGELOG.md").read_text().split())
    [entry] = re.findall(r"`--dry-run` on every command that writes[^;]*;", text)
    assert set(re.findall(r"`([a-z ]+)`", entry)) == set(WRITES_AT_ONCE)


def test_the_documentation_names_each_command_that_writes_as_one_that_leaves_an_entry_or_as_one_that_leaves_none():
    table, without = (ROOT / "docs/audit.md").read_text().partition("| deed |")[2].split("These leave no entry:")
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    told = {name.partition(" --")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    heads = [line.partition(":")[0] for line in without.partition("A dry run")[0].splitlines() if line.startswith("- ")]
    silent = {name for head in heads for name in re.findall(r"`([^`]+)`", head)}
    assert told & silent == set() and told | silent == {name for name, _ in commands(cli.parser())} - ONLY_READ
