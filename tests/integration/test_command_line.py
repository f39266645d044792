"""Bad input: one clear message with place and remedy, exit status 1 or 2, no traceback, nothing half-done."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from checkouts import ROOT
from clouds import free_port
from fleetgate import build, claims, cli, environment
from fleetgate.cli import main
from fleetgate.terraform import GOGC, Runner


@pytest.fixture
def fleetgate(checkout, capsys):
    """Runs a command in a checkout whose embedded cloud is not running; returns exit status, stdout and stderr."""
    path = checkout / "terraform/envs/local.yaml"
    text = path.read_text(encoding="utf-8").replace("4566", str(free_port())).replace("8883", str(free_port()))
    path.write_text(text, encoding="utf-8")

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main(["--root", str(checkout), *arguments])
        except SystemExit as ended:  # argparse
            status = ended.code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err + shown.out
        return status, shown.out, shown.err

    return run


def edit(checkout, file, old, new):
    path = checkout / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_without_a_command_the_usage_is_shown(fleetgate):
    status, _, err = fleetgate()
    assert status == 2 and "usage: fleetgate" in err


@pytest.mark.parametrize(
    "words", [["frobnicate"], ["cloud"], ["cloud", "sideways"], ["smoke", "--jsno"], ["device", "provision"]]
)
def test_wrong_usage_ends_with_2_and_the_usage(fleetgate, words):
    status, _, err = fleetgate(*words)
    assert status == 2 and "usage:" in err


@pytest.mark.parametrize(
    "words, near",
    [(["plann"], "plan"), (["cloud", "dwon"], "down"), (["registry", "lst"], "list"), (["device", "provison"], "provision")],
)
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(fleetgate, words, near):
    status, _, err = fleetgate(*words)
    assert status == 2 and "choose from" in err and err.endswith(f"; did you mean {near}?\n")


def test_a_word_that_is_near_to_no_command_is_answered_with_all(fleetgate):
    status, _, err = fleetgate("frobnicate")
    assert status == 2 and "choose from" in err and "did you mean" not in err


def test_ctrl_c_ends_with_one_line_that_names_the_command(fleetgate, monkeypatch):
    def press_ctrl_c(root):
        raise KeyboardInterrupt

    monkeypatch.setattr("fleetgate.catalogue.read", press_ctrl_c)
    status, out, err = fleetgate("catalogue", "check")
    assert (status, out) == (130, "")
    assert (
        err.startswith("fleetgate: interrupted; ") and err.endswith("catalogue check can be run again\n") and err.count("\n") == 1
    )
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_ctrl_c_in_an_apply_names_the_plan_that_has_to_be_made_first(fleetgate, monkeypatch):
    def press_ctrl_c(root, name):
        raise KeyboardInterrupt

    monkeypatch.setattr("fleetgate.environment.load", press_ctrl_c)
    status, _, err = fleetgate("apply")
    assert status == 130 and "next: fleetgate plan, which shows what is left to do, then fleetgate apply" in err


@pytest.mark.parametrize("words, status", [(["catalogue", "check"], 1), (["drift", "--env", "local"], 2)])
def test_a_mistake_of_fleetgate_itself_is_no_answer_of_a_command(checkout, monkeypatch, capsys, words, status):
    def stumble(*_):
        raise RecursionError("too deep")

    for name in ("fleetgate.catalogue.read", "fleetgate.environment.load"):
        monkeypatch.setattr(name, stumble)
    assert main(["--root", str(checkout), *words]) == status
    err = capsys.readouterr().err
    assert "RecursionError: too deep" in err and "a mistake in fleetgate itself" in err and "    -> report it" in err


class _NoCloud(BaseHTTPRequestHandler):
    """Somebody else's server, which knows nothing of AWS."""

    def do_POST(self):
        self.send_error(501)

    def log_message(self, *_):
        pass


def test_a_foreign_program_on_the_cloud_s_port_is_told(fleetgate, checkout, monkeypatch):
    monkeypatch.setattr("fleetgate.cloud.require", lambda environment: None)
    port = environment.load(checkout, "local").settings.embedded_cloud.gateway_port
    server = HTTPServer(("127.0.0.1", port), _NoCloud)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        status, _, err = fleetgate("registry", "list")
    finally:
        server.shutdown()
        server.server_close()
    assert status == 1 and f"127.0.0.1:{port}: what answers there is not the embedded cloud\n    -> stop it" in err
    assert "terraform/envs/local.yaml" in err


def commands():
    from fleetgate.cli import parser

    def walk(parser, words):
        yield words
        for action in parser._subparsers._group_actions if parser._subparsers else ():
            for name, child in action.choices.items():
                yield from walk(child, [*words, name])

    return list(walk(parser(), []))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_a_help(fleetgate, words):
    status, out, _ = fleetgate(*words, "--help")
    assert status == 0 and "usage: fleetgate" in out and len(out.splitlines()) > 4


@pytest.mark.parametrize(
    "file, old, new, parts",
    [
        ("catalogue/device_types.yaml", "device_types:", "device_types: [", ["device_types.yaml:", "not valid YAML", "column"]),
        ("catalogue/device_types.yaml", "shape: gateway", "shpae: gateway", ["unknown key", "did you mean `shape`?"]),
        ("policy_templates/claim.json.j2", "template ~", "templat ~", ["claim.json.j2", "'templat' is undefined", "use one of"]),
        ("terraform/envs/local.yaml", 'account_id: "000000000000"', "account_id: 0", ["local.yaml:", "12 digits in quotes"]),
        (
            "catalogue/device_types.yaml",
            "publish: ['gateway/{thing}/*']",
            "publish: [" + ", ".join(f"'gateway/{{thing}}/{n * 20}/*'" for n in "abcdef") + "]",
            ["AWS IoT takes 2048", "for gateway"],
        ),
    ],
    ids=["broken YAML", "unknown key", "template variable missing", "environment", "oversized policy"],
)
@pytest.mark.parametrize("command", ["render", "plan"])
def test_a_mistake_in_a_source_stops_the_build_before_anything_is_written(fleetgate, checkout, command, file, old, new, parts):
    edit(checkout, file, old, new)
    status, _, err = fleetgate(command)
    assert status == 1 and all(part in err for part in [*parts, "->"]), err
    assert not (checkout / "build" / "local" / build.TFVARS).exists()


def test_the_catalogue_check_needs_no_environment_and_tells_a_good_catalogue(fleetgate):
    status, out, err = fleetgate("catalogue", "check")
    assert (status, err) == (0, "") and "device types, no mistakes" in out


def test_one_device_type_is_one(fleetgate, checkout):
    path = checkout / "catalogue/device_types.yaml"
    path.write_text(path.read_text(encoding="utf-8").partition("  humidity-sensor:")[0], encoding="utf-8")
    assert fleetgate("catalogue", "check")[1] == "catalogue/device_types.yaml: 1 device type, no mistakes\n"


@pytest.mark.parametrize(
    "words",
    [
        ["plan"],
        ["apply"],
        ["destroy", "--yes"],
        ["registry", "list"],
        ["registry", "add", "--type", "gateway", "GW-000001"],
        ["smoke"],
        ["device", "provision", "--type", "gateway", "--serial", "GW-000001"],
        ["device", "provision", "--type", "gateway", "--count", "2"],
    ],
    ids=" ".join,
)
def test_without_the_embedded_cloud_the_command_that_starts_it_is_named_and_nothing_else(fleetgate, words):
    status, _, err = fleetgate(*words)
    assert status == 1 and "fleetgate cloud up" in err and err.count("->") == 1, err


def test_outside_of_a_checkout_the_way_in_is_told(tmp_path, capsys):
    assert main(["--root", str(tmp_path), "catalogue", "check"]) == 1
    assert "give --root FOLDER" in capsys.readouterr().err


def test_an_option_without_an_explanation_is_found():
    from fleetgate.cli import parser

    def bare(parser):
        for action in parser._actions:
            if action.option_strings and not action.help:
                yield action.option_strings
            for child in (getattr(action, "choices", None) or {}).values() if hasattr(action, "_name_parser_map") else ():
                yield from bare(child)

    assert list(bare(parser())) == []


def test_an_unknown_environment_is_told_with_the_known_ones(fleetgate):
    status, _, err = fleetgate("plan", "--env", "prod")
    assert status == 1 and "example, local" in err


def test_an_environment_on_aws_has_no_embedded_cloud(fleetgate):
    status, _, err = fleetgate("cloud", "up", "--env", "example")
    assert status == 1 and "is on AWS" in err
    status, out, _ = fleetgate("cloud", "up", "--env", "example", "--if-embedded")
    assert status == 0 and "123456789012" in out


def test_on_aws_a_missing_signing_request_is_asked_for_and_never_made_up(fleetgate, checkout):
    status, _, err = fleetgate("render", "--env", "example")
    assert status == 1 and "fleetgate claim create factory-1 --env example" in err
    assert not (checkout / "build" / "example").exists()


@pytest.fixture
def with_cloud(monkeypatch):
    """Lets the commands believe that the cloud answers and has a fleet: other mistakes are looked for only then."""
    monkeypatch.setattr("fleetgate.cloud.require", lambda environment: None)
    monkeypatch.setattr("fleetgate.applied.require", lambda fleet: None)
    monkeypatch.setattr("fleetgate.aws._require_account", lambda *_: None)


@pytest.mark.parametrize(
    "script, part",
    [
        (None, "is not on the PATH"),
        ('#!/bin/sh\necho \'{"terraform_version": "1.5.7"}\'\n', "Terraform 1.5.7 is too old"),
        ("#!/bin/sh\nexit 3\n", "does not tell its version"),
    ],
    ids=["absent", "too old", "broken"],
)
def test_a_terraform_that_will_not_do_is_told(fleetgate, with_cloud, tmp_path, monkeypatch, script, part):
    folder = tmp_path / "bin"
    folder.mkdir()
    if script:
        (folder / "terraform").write_text(script, encoding="ascii")
        (folder / "terraform").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin" if script else str(folder))
    status, _, err = fleetgate("plan")
    assert status == 1 and part in err and "install Terraform" in err


def test_a_mirror_that_is_named_must_hold_the_provider(fleetgate, with_cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETGATE_PROVIDER_MIRROR", str(tmp_path))
    status, _, err = fleetgate("plan")
    assert status == 1 and "holds no hashicorp/aws 5.100.0" in err


def test_an_apply_without_a_plan_names_the_command_that_makes_one(fleetgate, with_cloud):
    status, _, err = fleetgate("apply")
    assert status == 1 and "there is no plan to apply" in err and "fleetgate plan --env local" in err


def test_a_protected_registry_is_not_destroyed(fleetgate, checkout, with_cloud):
    edit(checkout, "terraform/envs/local.yaml", "deletion_protection: false\n", "")  # protected unless somebody says otherwise
    status, _, err = fleetgate("destroy", "--yes")
    assert status == 1 and "device registry, audit trail and CloudTrail's log files must not go" in err
    assert "write deletion_protection: false there, run make apply, then this again" in err


@pytest.fixture
def claim(checkout):
    """The files of claim factory-1, as after an apply."""
    local = environment.load(checkout, "local")
    claims.create(local, "factory-1")
    folder = local.claim_folder("factory-1")
    (folder / claims.CERTIFICATE_FILE).write_text("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    local.cloud_ca_file.parent.mkdir(parents=True, exist_ok=True)
    local.cloud_ca_file.write_text("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    return folder


PROVISION = ["device", "provision", "--type", "gateway", "--serial", "GW-000001"]


@pytest.mark.parametrize(
    "spoil, parts",
    [
        (
            lambda f: (f / "key.pem").unlink(),
            ["key.pem: is missing\n", "put the private key of ", "add another claim", "make apply"],
        ),
        (
            lambda f: ((f / "key.pem").unlink(), (f / "csr.pem").unlink()),
            ["key.pem: is missing\n", "run: fleetgate claim create factory-1 --env local, then make apply"],
        ),
        (lambda f: (f / "certificate.pem").unlink(), ["certificate.pem: is missing\n", "run: make apply; it fetches"]),
        (lambda f: ((f / "key.pem").unlink(), (f / "certificate.pem").unlink()), ["key.pem: is missing\n"]),
        (lambda f: ((f / "key.pem").unlink(), (f / "key.pem").mkdir()), ["key.pem: cannot be read", "->"]),
        (lambda f: (f / "key.pem").chmod(0o644), ["others may read this private key", "chmod 600"]),
        (lambda f: (f / "key.pem").write_text("hello"), ["key.pem"]),
    ],
    ids=[
        "key missing",
        "key and request missing",
        "certificate missing",
        "key and certificate missing",
        "key unreadable",
        "key open to others",
        "key is no key",
    ],
)
def test_claim_files_that_will_not_do_are_told(fleetgate, claim, with_cloud, spoil, parts):
    spoil(claim)
    status, _, err = fleetgate(*PROVISION)
    assert status == 1 and all(part in err for part in parts) and err.count("->") == 1, err


@pytest.mark.parametrize(
    "words, part",
    [
        (["--type", "gatewya", "--serial", "GW-000001"], "gatewya"),
        (["--type", "gateway", "--serial", "TEMP-1"], "TEMP-1"),
        (["--type", "gateway", "--serial", ""], "''"),
        (["--type", "gateway", "--count", "9" * 30], "--count"),
        (["--type", "gateway", "--count", "0"], "--count"),
        (["--type", "gateway", "--serial", "GW-000001", "--manufacturer", "Nobody"], "Nobody"),
        (["--type", "gateway", "--serial", "GW-000001", "--firmware", "latest"], "latest"),
        (["--type", "gateway", "--serial", "GW-000001", "--location", "hall 1"], "hall 1"),
        (["--type", "gateway", "--serial", "GW-000001", "--claim", "factory-9"], "factory-9"),
    ],
)
def test_a_device_that_the_gate_would_refuse_is_told_before_it_is_sent(fleetgate, claim, with_cloud, words, part):
    status, _, err = fleetgate("device", "provision", *words)
    assert status == 1 and part in err and "->" in err


def test_bad_rows_of_a_csv_are_all_listed_and_none_is_written(fleetgate, with_cloud, tmp_path):
    file = tmp_path / "serials.csv"
    file.write_text(
        "serialNumber,deviceType,manufacturer,location\n"
        "TEMP-000001,temperature-sensor,,\n"
        "TEMP-1,temperature-sensor,,\n"
        "GW-000001,gatewya,,\n"
        "GW-000002,gateway,Nobody,\n"
        "GW-000003,gateway,,hall 1\n"
        "TEMP-000001,temperature-sensor,,\n"
        "TEMP-000000,temperature-sensor,,\n",
        encoding="utf-8",
    )
    status, _, err = fleetgate("registry", "add", "--csv", str(file))
    assert status == 1
    assert all(f"serials.csv:{line}" in err for line in (3, 4, 5, 6, 7, 8)), err
    assert "cloud up" not in err  # told before anything is sent


@pytest.mark.parametrize(
    "content, part",
    [
        (b"", "serials.csv"),
        (b"a,b\n1,2\n", "serialNumber"),
        (b"\xff\xfe\x00", "serials.csv"),
        (b"serialNumber,deviceType\n", "serials.csv"),
    ],
    ids=["empty", "wrong header", "not UTF-8", "no rows"],
)
def test_a_file_that_is_no_csv_of_serials_is_told(fleetgate, with_cloud, tmp_path, content, part):
    file = tmp_path / "serials.csv"
    file.write_bytes(content)
    status, _, err = fleetgate("registry", "add", "--csv", str(file))
    assert status == 1 and part in err


def test_a_csv_that_is_not_there_is_told(fleetgate, with_cloud, tmp_path):
    status, _, err = fleetgate("registry", "add", "--csv", str(tmp_path / "none.csv"))
    assert status == 1 and "none.csv" in err


def test_package_proves_that_two_builds_give_the_same_bytes(fleetgate):
    status, out, _ = fleetgate("package", "--check")
    assert status == 0 and out.count("built twice with the same bytes") == 4


def test_output_that_nobody_reads_any_more_ends_quietly(checkout):
    command = f"{sys.executable} -m fleetgate --root {checkout} catalogue check | true"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_commands_that_run_on_every_commit_import_no_sdk(checkout):
    code = "import sys; from fleetgate.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", code, "--root", str(checkout), "catalogue", "check"]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    heavy = {"boto3", "botocore", "awscrt", "rich", "python_terraform", "cryptography", "jinja2"} & set(modules)
    assert heavy == set()


def test_the_schema_command_refuses_a_stale_schema(fleetgate, checkout):
    assert fleetgate("catalogue", "schema", "--check")[0] == 0
    path = checkout / "catalogue/device_types.schema.json"
    path.write_text(json.dumps({}), encoding="utf-8")
    status, _, err = fleetgate("catalogue", "schema", "--check")
    assert status == 1 and "fleetgate catalogue schema" in err
    assert path.read_text(encoding="utf-8") == "{}"


def test_each_module_of_commands_is_listed_with_the_commands_that_it_has():
    files = (ROOT / "tools/fleetgate/commands").glob("*.py")
    assert {file.stem for file in files if "def add(subparsers" in file.read_text(encoding="utf-8")} == cli.COMMANDS.keys()
    for words in cli.COMMANDS.values():
        for word in words:
            [listed] = [
                action.choices for action in cli.parser([word])._actions if action.dest == argparse.SUPPRESS and action.choices
            ]
            assert tuple(listed) == words


@pytest.mark.parametrize("words", [["--help", "lint"], ["--root", "plan", "--help"]], ids=" ".join)
def test_help_for_all_lists_all(capsys, words):
    with pytest.raises(SystemExit):
        main(words)
    assert {"lint", "plan", "dashboard"} <= set(capsys.readouterr().out.split())


def test_what_the_caller_sets_for_go_stays_and_no_workspace_makes_a_second_state(checkout, monkeypatch):
    for given, kept in (({"GOGC": "50", "TF_WORKSPACE": "other"}, "50"), ({}, GOGC)):
        environ = {name: value for name, value in os.environ.items() if name != "GOGC"} | given
        monkeypatch.setattr(os, "environ", environ)
        Runner(environment.load(checkout, "local"), print)
        assert os.environ["GOGC"] == kept and "TF_WORKSPACE" not in os.environ
