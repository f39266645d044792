"""`fleetgate claim rotate` and `retire` on a checkout's files; what AWS hears of it is in tests/e2e/test_claim_rotation.py."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import boto3
import pytest

import lambdas
from fleetgate import claim_rotation, claims, environment, files
from fleetgate.environment import ACCOUNT_VARIABLE
from fleetgate.errors import FleetgateError
from fleetgate.terraform import Runner, State

FILE = "terraform/envs/moto.yaml"


@pytest.fixture
def file(checkout, fleetgate):
    path = checkout / FILE
    path.write_text(
        path.read_text(encoding="utf-8").replace("  factory-1: {}", "  # berlin\n  factory-1: {}  # line 3"), encoding="utf-8"
    )
    path.chmod(0o640)
    return path


def active(checkout):
    return {name: claim.active for name, claim in environment.load(checkout, "moto").settings.claims.items()}


def test_a_rotation_puts_a_new_claim_with_key_and_request_beside_the_old_one(fleetgate, checkout, file):
    before = file.read_text(encoding="utf-8")
    status, out, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 0 and active(checkout) == {"factory-1": True, "factory-1-r2": True}
    assert file.read_text(encoding="utf-8") == before.replace("# line 3\n", "# line 3\n  factory-1-r2: {}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640 and not list(file.parent.glob(".*.new"))
    key = checkout / "build/moto/claims/factory-1-r2/key.pem"
    request = checkout / "terraform/envs/moto-claims/factory-1-r2.csr.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and "CERTIFICATE REQUEST" in request.read_text()
    assert "PRIVATE KEY-" not in out + err and str(key) in out
    steps = ["under version control", "make apply ENV=moto", "give the factories", "fleetgate claim retire factory-1 --env moto"]
    assert [err.index(step) for step in steps] == sorted(err.index(step) for step in steps)
    assert fleetgate("claim", "rotate", "factory-1-r2", "--yes")[0] == 0 and list(active(checkout))[-1] == "factory-1-r3"


def test_a_claim_that_is_being_rotated_gets_no_second_successor_by_mistake(fleetgate, checkout, file):
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0
    before = file.read_text(encoding="utf-8")
    status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and "factory-1-r2 stands beside it" in err and file.read_text(encoding="utf-8") == before
    assert "claim retire factory-1 --env moto" in err and "--as NAME" in err
    assert fleetgate("claim", "rotate", "factory-1", "--as", "berlin", "--yes")[0] == 0 and "berlin" in active(checkout)
    assert fleetgate("claim", "retire", "factory-1", "--yes")[0] == 0
    assert "is retired" in fleetgate("claim", "rotate", "factory-1", "--yes")[2]


def test_a_successor_is_known_by_its_name_though_that_had_to_be_cut(fleetgate, checkout, file):
    name = "a" * 30 + "-" + "b" * 9
    assert len(name) == environment.MAXIMUM_CLAIM_NAME
    file.write_text(file.read_text(encoding="utf-8") + f"  {name}: {{}}\n", encoding="utf-8")
    assert fleetgate("claim", "rotate", name, "--yes")[0] == 0
    status, _, err = fleetgate("claim", "rotate", name, "--yes")
    assert status == 1 and "is being rotated already" in err


@pytest.mark.parametrize("words", [["--dry-run"], []], ids=["dry run", "nobody to ask"])
@pytest.mark.parametrize("verb", ["rotate", "retire"])
def test_nothing_changes_without_consent(fleetgate, checkout, file, verb, words):
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: {}\n", encoding="utf-8")
    before = file.read_text(encoding="utf-8")
    status, out, err = fleetgate("claim", verb, "factory-1", *words)
    assert status == (0 if words else 1) and file.read_text(encoding="utf-8") == before
    assert "factory-1" in (out if words else err) and not (checkout / "build/moto/claims").exists()


def test_a_claim_that_there_is_not_is_told_in_the_same_words_whatever_it_was_for(fleetgate, file):
    said = {fleetgate("claim", verb, "factory-7", "--dry-run")[2] for verb in ("create", "rotate", "retire")}
    assert len(said) == 1 and "did you mean factory-1? or add `factory-7: {}` under claims first" in said.pop()


@pytest.mark.parametrize(
    "words, part",
    [
        (["rotate", "factory-7"], "did you mean factory-1?"),
        (["retire", "factory-7"], "did you mean factory-1?"),
        (["rotate", "factory-1", "--as", "factory-1"], "--as NAME"),
        (["rotate", "factory-1", "--as", "No Name"], "lower case letters"),
        (["retire", "factory-1"], "fleetgate claim rotate factory-1 --env moto"),
        (["retire", "factory-1", "--now"], "last active one"),
        (["retire", "factory-1", "--force"], "--now --force"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_told_with_the_way_out(fleetgate, file, words, part):
    before = file.read_text(encoding="utf-8")
    status, out, err = fleetgate("claim", *words, "--yes")
    assert (status, out) == (1, "") and part in err and file.read_text(encoding="utf-8") == before


def test_a_retirement_changes_one_line_and_can_be_repeated(fleetgate, checkout, file):
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: {}\n", encoding="utf-8")
    status, _, err = fleetgate("claim", "retire", "factory-1", "--yes")
    assert status == 0 and active(checkout) == {"factory-1": False, "factory-2": True}
    assert "  # berlin\n  factory-1: {active: false}  # line 3\n" in file.read_text(encoding="utf-8")
    assert "until the next apply it is still good" in err and "devices that have come in are not affected" in err
    assert "is retired already" in fleetgate("claim", "retire", "factory-1", "--yes")[1]
    assert "is retired" in fleetgate("claim", "rotate", "factory-1", "--yes")[2]


def test_a_rotation_that_fails_half_way_leaves_the_file_as_it_was(fleetgate, checkout, file):
    before = file.read_text(encoding="utf-8")
    blocker = checkout / "build/moto/claims"
    blocker.parent.mkdir(parents=True, exist_ok=True)
    blocker.write_text("a file where the folder should be")
    status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and str(blocker) in err and file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("write", range(3), ids=["key", "request", "environment's file"])
def test_a_disk_that_is_full_at_any_write_of_a_rotation_leaves_nothing_half_done(fleetgate, checkout, file, monkeypatch, write):
    before = file.read_text(encoding="utf-8")
    left, flush = iter(range(9)), os.fsync

    def full(handle):
        if Path(f"/proc/self/fd/{handle}").resolve().name.endswith(".new") and next(left) == write:
            os.ftruncate(handle, 10)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and "No space left" in err
    assert file.read_text(encoding="utf-8") == before and active(checkout) == {"factory-1": True}
    assert not list((checkout / "build/moto/claims").rglob("*.pem*")) and not list(file.parent.rglob("*r2*"))
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0 and "factory-1-r2" in active(checkout)


def test_a_request_that_lies_there_already_is_not_overwritten(fleetgate, checkout, file):
    path = checkout / "terraform/envs/moto-claims/factory-1-r2.csr.pem"
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and "--as NAME" in err and path.read_text() == "somebody's" and active(checkout) == {"factory-1": True}


def test_a_key_whose_request_was_never_written_gets_one(fleetgate, checkout, file):
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0
    env = environment.load(checkout, "moto")
    key = (env.claim_folder("factory-1-r2") / claims.KEY_FILE).read_bytes()
    env.claim_csr_file("factory-1-r2").unlink()
    assert fleetgate("claim", "create", "factory-1-r2")[0] == 0
    assert (env.claim_folder("factory-1-r2") / claims.KEY_FILE).read_bytes() == key


def test_a_rotation_makes_a_new_key_and_leaves_an_old_one_alone(fleetgate, checkout, file):
    before = file.read_text(encoding="utf-8")
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0
    env = environment.load(checkout, "moto")
    old = env.claim_folder("factory-1-r2") / claims.KEY_FILE
    kept = old.read_bytes()
    # It leaks before the claim is merged, so the claim is taken out again, with its request.
    env.claim_csr_file("factory-1-r2").unlink()
    file.write_text(before, encoding="utf-8")
    status, _, err = fleetgate("claim", "rotate", "factory-1", "--as", "factory-1-r2", "--yes")
    assert status == 1 and str(old) in err and "--as NAME" in err and file.read_text(encoding="utf-8") == before
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0 and list(active(checkout)) == ["factory-1", "factory-1-r3"]
    assert old.read_bytes() == kept and (checkout / "build/moto/claims/factory-1-r3/key.pem").read_bytes() != kept


def test_a_key_that_comes_while_a_rotation_asks_is_not_taken_for_a_new_one(checkout, file):
    env = environment.load(checkout, "moto")
    edit = claim_rotation.plan_rotation(env, "factory-1", "factory-1-r2")
    key = env.claim_folder("factory-1-r2") / claims.KEY_FILE
    key.parent.mkdir(parents=True)
    key.write_text("somebody's")
    with pytest.raises(FleetgateError, match="a new key is wanted"):
        claim_rotation.rotate(edit, "factory-1-r2", print, ["made"])
    assert key.read_text() == "somebody's" and active(checkout) == {"factory-1": True}


@pytest.mark.parametrize("verb", ["rotate", "retire"])
def test_what_somebody_writes_while_a_command_asks_stays(fleetgate, checkout, file, monkeypatch, verb):
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: {}\n", encoding="utf-8")
    theirs = file.read_text(encoding="utf-8").replace("factory-2: {}", "factory-2: {active: false}  # it leaked")
    monkeypatch.setattr("fleetgate.commands.common.confirm", lambda question, yes: file.write_text(theirs, encoding="utf-8"))
    status, _, err = fleetgate("claim", verb, "factory-1")
    assert status == 1 and "was changed meanwhile" in err and '"event": "audit"' not in err
    assert file.read_text(encoding="utf-8") == theirs and not list((checkout / "build/moto").rglob("*.pem"))


def test_what_somebody_writes_while_a_rotation_makes_the_key_stays(fleetgate, checkout, file, monkeypatch):
    write, theirs = files.create, file.read_text(encoding="utf-8") + "# a colleague's\n"

    def somebody_is_faster(path, *given, **options):
        write(path, *given, **options)
        if path.name == claims.KEY_FILE:
            file.write_text(theirs, encoding="utf-8")

    monkeypatch.setattr(files, "create", somebody_is_faster)
    status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and "was changed meanwhile" in err and file.read_text(encoding="utf-8") == theirs
    assert not list(checkout.rglob("*r2*.pem")) and not list((checkout / "build/moto").rglob("key.pem"))


def test_of_two_that_change_the_claims_at_once_the_second_is_refused_and_takes_nothing_away(
    fleetgate, checkout, file, monkeypatch
):
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: {}\n", encoding="utf-8")
    write, seconds = files.create, []

    def meanwhile(path, *given, **options):
        if path.name == "factory-1-r2.csr.pem":
            for words in (["rotate", "factory-1", "--as", "b"], ["retire", "factory-2"], ["create", "factory-2"]):
                seconds.append(fleetgate("claim", *words, *(["--yes"] if words[0] != "create" else [])))
        write(path, *given, **options)

    monkeypatch.setattr(files, "create", meanwhile)
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0
    assert [status for status, _, _ in seconds] == [1, 1, 1]
    assert all("another command is changing the claims of moto" in err for _, _, err in seconds)
    assert active(checkout) == {"factory-1": True, "factory-1-r2": True, "factory-2": True}
    assert (checkout / "build/moto/claims/factory-1-r2/key.pem").is_file()
    assert (checkout / "terraform/envs/moto-claims/factory-1-r2.csr.pem").is_file()


def test_a_rotation_that_another_one_has_done_meanwhile_is_refused_and_recorded_once(fleetgate, checkout, file, monkeypatch):
    monkeypatch.setattr(
        "fleetgate.commands.common.confirm",
        lambda question, yes: None if yes else fleetgate("claim", "rotate", "factory-1", "--yes"),
    )
    status, _, err = fleetgate("claim", "rotate", "factory-1")
    assert status == 1 and "was changed meanwhile" in err and '"event": "audit"' not in err
    assert len(list((checkout / "build/moto/claims").rglob("key.pem"))) == 1
    assert (checkout / "build/moto/audit.jsonl").read_text().count("claim rotate") == 1


@pytest.mark.parametrize("words, what", [(["rotate", "factory-1"], "factory-1-r2"), (["retire", "factory-1"], "active: false")])
@pytest.mark.parametrize(
    "ends, exits", [(KeyboardInterrupt(), 130), (OSError(errno.EIO, "failing disk"), 1)], ids=["Ctrl-C", "disk"]
)
def test_what_ends_a_command_just_after_the_file_was_written_takes_nothing_away_and_is_recorded(
    fleetgate, checkout, file, monkeypatch, words, what, ends, exits
):
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: {}\n", encoding="utf-8")
    flush = os.fsync

    def fsync(handle):
        if what in file.read_text(encoding="utf-8"):
            raise ends
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        status = fleetgate("claim", *words, "--yes")[0]
    assert status == exits and what in file.read_text(encoding="utf-8")
    [deed] = map(json.loads, (checkout / "build/moto/audit.jsonl").read_text().splitlines())
    assert (deed["action"], deed["complete"]) == (f"claim {words[0]}", False) and FILE in deed["done"][0]
    if words[0] == "rotate":
        env = environment.load(checkout, "moto")
        assert env.claim_csr_file("factory-1-r2").is_file() and (env.claim_folder("factory-1-r2") / claims.KEY_FILE).is_file()


def test_a_key_that_is_there_is_its_owners_alone_once_it_is_used(checkout, file):
    env = environment.load(checkout, "moto")
    claims.create(env, "factory-1")
    env.claim_csr_file("factory-1").unlink()
    key = env.claim_folder("factory-1") / claims.KEY_FILE
    key.chmod(0o644)
    claims.create(env, "factory-1")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "applied, words, refused",
    [
        (["factory-1"], ["--now"], True),
        (["factory-1"], ["--now", "--force"], False),
        (["factory-1", "factory-1-r2"], ["--now"], False),
    ],
    ids=["the new one is not applied", "that is meant", "both are applied"],
)
def test_a_claim_is_shut_off_at_once_only_where_another_is_applied(
    fleetgate, checkout, registry, file, monkeypatch, applied, words, refused
):
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    monkeypatch.setattr(Runner, "init", lambda self: None)
    ids = {name: name.encode().hex().ljust(64, "0") for name in applied}
    monkeypatch.setattr(Runner, "state", lambda self: State({"claim_certificate_ids": ids}, ()))
    claims.create(environment.load(checkout, "moto"), "factory-1")
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0
    status, _, err = fleetgate("claim", "retire", "factory-1", *words, "--yes")
    assert active(checkout) == {"factory-1": refused, "factory-1-r2": True}
    assert status == int(refused) and ("factory-1-r2 is not, so no device could come in" in err) is refused
    assert ("first run: make apply ENV=moto" in err) is refused


def test_a_list_shows_each_claim_as_file_machine_and_cloud_have_it(fleetgate, checkout, registry, file, monkeypatch):
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: { active: false }\n  factory-3: {}\n", encoding="utf-8")
    iot = boto3.client("iot")
    ids = {
        name: iot.create_keys_and_certificate(setAsActive=True)["certificateId"] for name in ("factory-1", "factory-2", "left")
    }
    iot.update_certificate(certificateId=ids["factory-2"], newStatus="INACTIVE")
    iot.delete_certificate(certificateId=ids["factory-2"])
    monkeypatch.setattr(Runner, "init", lambda self: None)
    monkeypatch.setattr(Runner, "state", lambda self: State({"claim_certificate_ids": ids}, ()))
    claims.create(environment.load(checkout, "moto"), "factory-3")
    status, out, _ = fleetgate("claim", "list", "--json")
    assert status == 0 and [tuple(claim.values()) for claim in json.loads(out)] == [
        (ids["factory-1"], False, "active", "factory-1", "ACTIVE"),
        (ids["factory-2"], False, "retired", "factory-2", None),
        (None, True, "active", "factory-3", None),
        (ids["left"], False, "no", "left", "ACTIVE"),
    ]
    out = fleetgate("claim", "list")[1]
    assert ids["left"][:12] in out and "AWS does not have it" in out and "not applied" in out
