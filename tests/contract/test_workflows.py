"""GitHub's workflows: least permissions, nothing of a stranger's in a shell, and no call of something that is not there.

What zizmor finds is found by zizmor; here is what it cannot know: this project's commands, targets, roles and rules.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkouts import ROOT
from fleetgate import cli, deployer, environment

FOLDER = ROOT / ".github/workflows"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yml"))}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
#: Who may do what, and nobody else anything: a change of a workflow's rights is a change of this table.
PERMISSIONS = {
    ("ci", "test"): {"contents": "read"},
    ("deploy", "apply"): {"contents": "read", "id-token": "write"},
    ("deploy", "plan"): {"contents": "read", "id-token": "write"},
    ("drift", "judge"): {"contents": "read", "id-token": "write"},
    ("drift", "look"): {"contents": "read", "id-token": "write"},
    ("drift", "report"): {"contents": "read", "issues": "write"},
    ("pull-request", "access"): {"contents": "read"},
    ("pull-request", "comment"): {"contents": "read", "pull-requests": "write"},
    ("pull-request", "plan"): {"contents": "read", "id-token": "write"},
}
OWN_BRANCH = "github.event.pull_request.head.repo.full_name == github.repository"
PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+")
#: Programs of the runner that a step may call besides make and fleetgate.
TOOLS = {"bash", "cat", "echo", "jq", "printenv", "test"}
#: What variables stand for, so that argparse accepts them.
SAMPLES = {"PULL_REQUEST": "7", "FLEETGATE_ENV": "prod"}
ENDS = {"|", "||", "&&", ";"}


def problems(name: str, text: str) -> list[str]:
    """What is wrong with a workflow, by the rules of this project."""
    workflow = yaml.load(text, yaml.BaseLoader)  # every scalar stays a text, `on` too
    found = []
    if workflow.get("permissions") != {}:
        found.append("permissions of the whole workflow are not {}")
    triggers = workflow["on"] if isinstance(workflow["on"], dict) else {workflow["on"]: {}}
    found += [f"trigger {trigger}" for trigger in ("pull_request_target", "workflow_run") if trigger in triggers]
    found += [f"not pinned: {line.strip()}" for line in text.splitlines() if "uses:" in line and not PINNED.search(line)]
    if any(job_permissions(job).get("id-token") for job in workflow["jobs"].values()) and (
        "concurrency" not in workflow
        or ("pull_request" not in triggers and workflow["concurrency"]["cancel-in-progress"] != "false")
    ):
        found.append("what has a role runs beside itself, or is ended in the middle")
    for label, job in workflow["jobs"].items():
        found += [f"{label}: {problem}" for problem in job_problems(name, label, job, triggers)]
    return found


def job_permissions(job: dict[str, Any]) -> dict[str, str]:
    given = job.get("permissions")
    return given if isinstance(given, dict) else {"everything": str(given)}


def job_problems(name: str, label: str, job: dict[str, Any], triggers: dict[str, Any]) -> Iterator[str]:
    given = job_permissions(job)
    if given != PERMISSIONS.get((name, label)):
        yield f"permissions {given}"
    if "timeout-minutes" not in job:
        yield "no timeout"
    writes = {permission for permission, value in given.items() if value == "write"}
    if "pull_request" in triggers and writes and OWN_BRANCH not in job.get("if", ""):
        yield "may write, and runs for forks too"
    if "secrets." in str(job) and "environment" not in job:
        yield "a secret without an environment, whose reviewers would be asked"
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            if step.get("with", {}).get("persist-credentials") != "false":
                yield "the checkout leaves the token in its folder"
            reference = step.get("with", {}).get("ref", "")
            if "pull_request" in triggers and writes - {"id-token"} and reference != "${{ github.event.pull_request.base.sha }}":
                yield "may write on GitHub, and runs what the pull request brings along"
        if "run" in step:
            if "${{" in step["run"]:
                yield f"an expression in a shell: {step['run']!r:.60}"
            yield from (f"{problem}: {step['run']!r:.60}" for problem in run_problems(step["run"]))


def run_problems(script: str) -> Iterator[str]:
    for words in commands(script):
        if words[0] == "make":
            yield from make_problems(words[1:])
        elif words[0] == ".venv/bin/fleetgate":
            yield from fleetgate_problems(words[1:])
        elif words[:3] == ["python3", "-m", "fleetgate"]:
            yield from fleetgate_problems(words[3:])
        elif words[0] not in TOOLS:
            yield f"{words[0]} is no tool of ours"


def commands(script: str) -> Iterator[list[str]]:
    """The simple commands of a shell script, without redirections; `! x` is x."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(re.sub(r">>?\s*\S+", "", line), posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in ENDS:
                words.append(word)
            elif words:
                yield words
                words = []


def make_problems(words: list[str]) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) | {".venv/runtime", ".venv/development"}
    for word in words:
        name, equals, _ = word.partition("=")
        if not equals and word not in targets:
            yield f"make has no target {word}"
        if equals and f"$({name})" not in MAKEFILE:
            yield f"make does not know {name}"


def fleetgate_problems(words: list[str]) -> Iterator[str]:
    filled = [re.sub(r"\$\{?(\w+)\}?", lambda match: SAMPLES.get(match[1], "x"), word) for word in words]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            cli.parser().parse_args(filled)
    except SystemExit:
        yield f"fleetgate does not take that: {said.getvalue().strip().splitlines()[-1]}"


@pytest.mark.parametrize("name", TEXTS)
def test_a_workflow_keeps_the_rules(name):
    assert problems(name, TEXTS[name]) == []


def test_every_job_of_the_table_is_there():
    jobs = {(name, label) for name, text in TEXTS.items() for label in yaml.safe_load(text)["jobs"]}
    assert jobs == set(PERMISSIONS)


def test_an_action_has_one_version_everywhere():
    used = {line.partition("uses:")[2].strip() for text in TEXTS.values() for line in text.splitlines() if "uses:" in line}
    assert len({line.partition("@")[0] for line in used}) == len(used), used


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        pytest.param("ci", "permissions: {}", "permissions: write-all", "of the whole workflow", id="rights for all"),
        pytest.param(
            "ci", "      contents: read # to", "      contents: write # to", "permissions {'contents': 'write'}", id="more"
        ),
        pytest.param("ci", "pull_request:", "pull_request_target:", "trigger pull_request_target", id="trigger"),
        pytest.param("ci", "@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "@v5", "not pinned", id="a version that moves"),
        pytest.param("ci", "persist-credentials: false", "clean: true", "leaves the token", id="token in the checkout"),
        pytest.param(
            "ci", "bash .ci/run", "echo ${{ github.event.pull_request.title }}", "an expression in a shell", id="injection"
        ),
        pytest.param("ci", "bash .ci/run", "curl example.org", "curl is no tool of ours", id="foreign tool"),
        pytest.param("ci", "    timeout-minutes: 60\n", "", "no timeout", id="no timeout"),
        pytest.param("drift", "make drift", "make drifts", "make has no target drifts", id="no such target"),
        pytest.param("drift", "make drift ENV", "make drift EVN", "make does not know EVN", id="no such variable"),
        pytest.param("drift", "--kind drift", "--sort drift", "fleetgate does not take that", id="no such option"),
        pytest.param("deploy", "fleetgate apply", "fleetgate aply", "fleetgate does not take that", id="no such command"),
        pytest.param("deploy", "cancel-in-progress: false", "cancel-in-progress: true", "ended in the middle", id="cancelled"),
        pytest.param(
            "deploy", "    environment: ${{ vars.FLEETGATE_ENV }}\n", "", "without an environment", id="nobody is asked"
        ),
        pytest.param(
            "pull-request", f"vars.FLEETGATE_ENV != '' && {OWN_BRANCH}", "vars.FLEETGATE_ENV != ''", "for forks too", id="forks"
        ),
        pytest.param(
            "pull-request",
            "ref: ${{ github.event.pull_request.base.sha }}",
            "fetch-depth: 1",
            "what the pull request brings along",
            id="writes with strange code",
        ),
    ],
)
def test_a_workflow_that_breaks_a_rule_is_found(name, old, new, said):
    assert old in TEXTS[name]
    found = problems(name, TEXTS[name].replace(old, new))
    assert any(said in problem for problem in found), found


def test_who_plans_under_the_role_that_reads_takes_no_lock():
    """Its policies let it write none (fleetgate deployer-policy --plan-only); `drift` plans without one by itself."""
    planning = {
        (name, label): job
        for name, text in TEXTS.items()
        for label, job in yaml.safe_load(text)["jobs"].items()
        if "FLEETGATE_PLAN_ROLE" in str(job)
    }
    assert set(planning) == {("deploy", "plan"), ("drift", "judge"), ("drift", "look"), ("pull-request", "plan")}
    locking = [where for where, job in planning.items() if job["env"].get("TF_CLI_ARGS_plan") != "-lock=false"]
    assert locking == [("drift", "look")]
    assert {step.get("run") for step in planning["drift", "look"]["steps"]} & {'make lint ENV="$FLEETGATE_ENV"'} == set()


def test_a_report_of_an_older_commit_never_stays_as_if_it_were_of_the_last_one():
    job = yaml.safe_load(TEXTS["pull-request"])["jobs"]["comment"]
    assert job["if"].split(" && ") == ["!cancelled()", OWN_BRANCH] and set(job["needs"]) == {"access", "plan"}
    calls = [words for words in commands(job["steps"][-1]["run"]) if "comment" in words]
    assert [words[words.index("--kind") + 1] for words in calls] == ["access", "changes"]
    assert all("$COMMIT" in words[words.index("--if-missing") + 1] for words in calls)


def test_what_is_applied_is_judged_in_full_every_night_and_told_in_an_issue_of_its_own():
    jobs = yaml.safe_load(TEXTS["drift"])["jobs"]
    assert 'make judge ENV="$FLEETGATE_ENV"' in [step.get("run") for step in jobs["judge"]["steps"]]
    report = jobs["report"]
    assert set(report["needs"]) == {"look", "judge"} and report["if"].startswith("${{ !cancelled() && (")
    for job, file in (("look", "drift.md"), ("judge", "judged.md")):
        assert any(step.get("with", {}).get("path", "").endswith(f"/{file}") for step in jobs[job]["steps"])
        (told,) = [step for step in report["steps"] if str(step.get("run", "")).endswith(f" {file}")]
        (fetched,) = [step for step in report["steps"] if step.get("with", {}).get("name") == file.removesuffix(".md")]
        assert told["if"] == fetched["if"] == f"needs.{job}.result == 'success'"


#: Stands for both tools of `make judge`: says what it was asked, and then what the test has it say.
STAND_IN = """#!/bin/sh
echo "$@" >>asked
case "$*" in *"{when}"*) printf '{said}'; exit {status};; esac
"""


@pytest.mark.parametrize(
    ("when", "said", "status", "ends", "told"),
    [
        pytest.param("nothing", "", 0, 0, "", id="clean"),
        pytest.param("lint build", "a: S01\\n", 1, 0, "    a: S01\n", id="lint finds something"),
        pytest.param("iam_checks", "b: of 123456789012:\\n", 1, 0, "    b: of ************:\n", id="checkov finds something"),
        pytest.param("iam_checks", "NOT JUDGED: 1 of 2\\n", 2, 0, "    NOT JUDGED: 1 of 2\n", id="a policy is not judged"),
        pytest.param("iam_checks", "", 2, 2, "", id="checkov cannot be run"),
        pytest.param("lint build", "", 1, 2, "", id="lint fails"),
        pytest.param("plan --env", "", 1, 2, None, id="no plan"),
    ],
)
def test_make_judge_notes_what_the_gates_find_and_fails_where_they_cannot_judge(tmp_path, when, said, status, ends, told):
    for name in ("Makefile", "pyproject.toml", "requirements/runtime.txt", "requirements/iam.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in (".venv/bin/fleetgate", ".venv-iam/bin/python", ".venv/runtime", ".venv-iam/ready"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(STAND_IN.format(when=when, said=said, status=status))
        file.chmod(0o755)
    (tmp_path / "build/e2e").mkdir(parents=True)
    done = subprocess.run(["make", "judge", "ENV=e2e"], cwd=tmp_path, capture_output=True, text=True, check=False)
    report = tmp_path / "build/e2e/judged.md"
    assert (done.returncode, report.read_text() if report.exists() else None) == (ends, told), done.stderr
    assert "allow-unknown" not in (tmp_path / "asked").read_text()


def test_zizmor_finds_nothing():
    zizmor = Path(sys.executable).parent / "zizmor"
    command = [zizmor, "--offline", "--persona", "pedantic", "--no-progress", "--no-config", FOLDER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_makefile_calls_what_there_is():
    recipes = re.findall(r"\$\(FLEETGATE\) ([^&|;>\n]*)", MAKEFILE)
    assert len(recipes) > 10
    for recipe in recipes:
        optional = re.sub(r"\$\(if .*,([^,)]*)\)", r"\1", recipe)
        words = shlex.split(re.sub(r"\$\(\w+\)", "x", optional))
        assert list(fleetgate_problems(words)) == [], recipe


@pytest.mark.parametrize("page", ["ci", "deploying"])
def test_the_pages_about_pipelines_call_what_there_is(page):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.partition("#")[0].split() for block in blocks for line in block.splitlines()]
    made, called = ([words[1:] for words in lines if words[:1] == [tool]] for tool in ("make", "fleetgate"))
    assert called and [problem for words in made for problem in make_problems(words)] == []
    assert [problem for words in called for problem in fleetgate_problems(words)] == []


def test_the_page_about_ci_sets_up_state_roles_and_variables_in_that_order_and_writes_no_policy_by_hand():
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    steps = re.search(r"### Set it up\n(.*?)\n### ", text, re.DOTALL)[1]
    order = ["section `state`", "make bootstrap", "deployer-policy", "--plan-only", "FLEETGATE_PLAN_ROLE", "FLEETGATE_APPLY_ROLE"]
    found = [steps.find(word) for word in order]
    assert -1 not in found and found == sorted(found)
    assert "AssumeRoleWithWebIdentity" not in text
    (statement,) = deployer.trust(environment.load(ROOT, "example"), "OWNER/NAME", plan_only=True)["Statement"]
    assert all(f"`{subject}`" in text for subject in statement["Condition"]["StringEquals"][f"{deployer.GITHUB}:sub"])


def test_the_terraform_of_the_workflows_is_one_that_the_tools_take():
    from fleetgate.terraform import MINIMUM_VERSION

    versions = set(re.findall(r"terraform_version: ([0-9.]+)", "".join(TEXTS.values())))
    assert len(versions) == 1 and tuple(map(int, versions.pop().split("."))) >= MINIMUM_VERSION
