"""What a checkout makes: its policy templates for every device type, and its provisioning template."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleetgate import build, environment, policies
from fleetgate.cli import main
from fleetgate.errors import FleetgateError

SENSOR = "policy_templates/sensor.json.j2"
PARTIAL = "policy_templates/_own_thing.json.j2"


@pytest.fixture
def lint(checkout, monkeypatch, capsys):
    """Lints in a checkout that a test may change; returns exit status and findings."""
    monkeypatch.chdir(checkout)

    def command(*arguments: str) -> tuple[int, list[dict]]:
        capsys.readouterr()
        status = main(["lint", "--format", "json", *arguments])
        out = capsys.readouterr().out
        return status, json.loads(out)["findings"] if out else []

    return command


def edit(file: str, old: str, new: str) -> None:
    path = Path(file)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def line_of(file: str, text: str) -> int:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_what_this_repository_makes_is_clean(lint):
    status, findings = lint()
    assert (status, [f for f in findings if f["severity"] not in ("info", "low")]) == (0, [])


def test_a_finding_points_into_the_template_and_names_the_types(lint):
    edit(SENSOR, '"Action": "iot:Publish"', '"Action": "iot:*"')
    status, findings = lint()
    [found] = [f for f in findings if f["rule"] == "A04"]
    assert status == 1
    assert (found["file"], found["line"], found["column"]) == (SENSOR, line_of(SENSOR, '"iot:*"'), 17)
    assert found["message"].endswith("(in the policy of temperature-sensor, humidity-sensor, pressure-sensor)")
    assert found["statement"] == "PublishTelemetry"


def test_a_finding_in_an_included_part_points_there(lint):
    edit(PARTIAL, '"Action": "iot:Connect"', '"Action": "iot:Conect"')
    found = [f for f in lint()[1] if f["rule"] == "A01"]
    assert {(f["file"], f["line"]) for f in found} == {(PARTIAL, line_of(PARTIAL, "Conect"))}
    assert "gateway" not in found[0]["message"] or "and 1 more" in found[0]["message"]


def test_a_finding_in_a_value_points_at_its_expression(lint):
    edit(SENSOR, 'publish | map("topic")', '(publish + ["+/x"]) | map("topic")')
    [found] = [f for f in lint()[1] if f["rule"] == "M03"]
    assert (found["line"], found["column"]) == (line_of(SENSOR, '"+/x"'), 19)


def test_one_template_can_be_named_and_a_partial_brings_those_that_include_it(lint):
    edit(SENSOR, '"Action": "iot:Publish"', '"Action": "iot:*"')
    assert "A04" in {f["rule"] for f in lint(SENSOR)[1]}
    assert "A04" not in {f["rule"] for f in lint("policy_templates/claim.json.j2")[1]}
    assert "A04" in {f["rule"] for f in lint(PARTIAL)[1]}
    assert "A04" in {f["rule"] for f in lint("policy_templates")[1]}


def test_a_template_that_no_type_uses_is_rendered_for_every_type(lint):
    text = Path(SENSOR).read_text(encoding="utf-8").replace('"Action": "iot:Publish"', '"Action": "iot:*"')
    Path("policy_templates/valve.json.j2").write_text(text, encoding="utf-8")
    [found] = [f for f in lint()[1] if f["rule"] == "A04"]
    assert found["file"] == "policy_templates/valve.json.j2"
    assert found["message"].endswith("and 1 more)")


@pytest.mark.parametrize(
    "old, new, text, message",
    [
        ("{{ publish |", "{{ publisch |", "publisch", "'publisch' is undefined"),
        ("{{ publish |", "{{ publish | no_such_filter |", "no_such_filter", "not a Jinja template"),
        ("{{ publish |", "{{ publish | join(3 // 0) |", "3 // 0", "cannot be rendered"),
        ('"Sid": "PublishTelemetry",', '"Sid": "PublishTelemetry"', '"Effect": "Allow"', "the result is not JSON"),
        ('"_own_thing.json.j2"', '"_other.json.j2"', "_other", "no such template"),
        ("{%- include", "{%- if x %}{%- include", "}", "not a Jinja template"),
    ],
    ids=["undefined", "no such filter", "division", "not JSON", "no such include", "unclosed block"],
)
def test_a_template_that_cannot_be_rendered_is_a_finding_at_its_line(lint, old, new, text, message):
    edit(SENSOR, old, new)
    status, findings = lint()
    found = [f for f in findings if f["rule"] == "S01" and f["file"].endswith((SENSOR, "_other.json.j2"))]
    assert status == 1 and found
    assert message in found[0]["message"]
    if "}" not in text and "_other" not in text:
        assert found[0]["line"] == line_of(SENSOR, text)


def test_a_key_that_stands_twice_in_a_template_is_found_there(lint):
    edit(SENSOR, '"Sid": "PublishTelemetry",', '"Sid": "PublishTelemetry", "Sid": "Again",')
    [found] = [f for f in lint()[1] if f["rule"] == "S01"]
    assert (found["file"], found["line"]) == (SENSOR, line_of(SENSOR, "Again"))


def test_mistakes_in_the_catalogue_are_said_as_everywhere(lint, capsys):
    edit("catalogue/device_types.yaml", "shape: gateway", "shap: gateway")
    assert main(["lint"]) == 2
    assert "did you mean `shape`?" in capsys.readouterr().err


def test_a_template_outside_of_a_checkout_is_told_and_not_rendered(lint, tmp_path, capsys):
    other = tmp_path / "policy_templates" / "a.json.j2"
    other.parent.mkdir()
    other.write_text("{{ x }}")
    capsys.readouterr()
    assert main(["lint", str(other)]) == 0
    assert "no policy template of a checkout" in capsys.readouterr().err


def test_the_provisioning_template_of_the_checkout_is_judged(lint, monkeypatch):
    from fleetgate import template

    monkeypatch.setattr(template, "HOOK_PARAMETERS", ("ThingName",))
    found = [f for f in lint()[1] if f["rule"] == "P01"]
    assert {f["pointer"] for f in found} >= {"/Resources/policy/Properties/PolicyName/Ref"}
    assert {f["file"] for f in found} == {"catalogue/device_types.yaml"}  # the copy has no tools/


def test_another_environment_is_another_account(lint):
    edit("terraform/envs/example.yaml", "123456789012", "210987654321")
    assert lint("--env", "example")[0] == 0


def test_two_findings_of_one_rule_are_two(lint):
    edit(SENSOR, '"Action": "iot:Publish"', '"Action": ["iot:PublishRetain", "iot:Publsh"]')
    edit(PARTIAL, '"Action": "iot:Receive"', '"Action": "iot:Recieve"')
    claim = "policy_templates/claim.json.j2"
    edit(claim, '"Action": "iot:Subscribe"', '"Action": "iot:Subcribe"')
    found = {(f["file"], f["pointer"].rpartition("/Action")[2]) for f in lint()[1] if f["rule"] == "A01"}
    assert found == {(SENSOR, "/0"), (SENSOR, "/1"), (PARTIAL, ""), (claim, "")}


def test_a_types_policy_is_all_that_its_devices_have(lint):
    edit(PARTIAL, '"Action": "iot:Connect"', '"Action": "iot:GetRetainedMessage"')
    assert "A06" in {f["rule"] for f in lint()[1]}


@pytest.mark.parametrize("link", [False, True])
def test_a_template_can_bring_in_no_file_from_elsewhere(lint, checkout, tmp_path, link):
    secret = tmp_path / "credentials"
    secret.write_text("very secret", encoding="utf-8")
    if link:
        Path("policy_templates/_linked.j2").symlink_to(secret)
    name = "_linked.j2" if link else "../../credentials"
    path = Path(SENSOR)
    path.write_text("{% include '" + name + "' %}" + path.read_text(encoding="utf-8"), encoding="utf-8")
    status, findings = lint()
    assert status == 1 and not any("secret" in str(finding) for finding in findings) and findings
    with pytest.raises(FleetgateError, match="there is no such template"):
        build.compile_fleet(environment.load(checkout, "local"))


@pytest.fixture
def every_rendering(checkout, capsys):
    """What every command that renders says, when it is run in the checkout: their exit statuses and all of their output."""
    commands = [
        *(["lint"], ["lint", "policy_templates"], ["lint", "--only", "policy", SENSOR], ["isolation"], ["catalogue", "check"]),
        ["authorize", "--type", "temperature-sensor", "--thing", "temperature-sensor-TEMP-000001", "--connect"],
        ["access-diff", "--base", "HEAD"],
    ]

    def run() -> tuple[list[int], str]:
        subprocess.run(["git", "init", "--quiet", "."], check=True)
        subprocess.run(["git", "add", "--all"], check=True)
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, "commit", "--quiet", "--message", "all"], check=True)
        capsys.readouterr()
        statuses = [main(command) for command in commands]
        said = capsys.readouterr()
        return statuses, said.out + said.err

    return run


def test_a_folder_of_templates_that_is_a_link_shows_no_file_of_the_checkout(lint, checkout, every_rendering):
    """A pull request made it a link to the root, and lint printed the token in .git/config."""
    folder = Path("policy_templates")
    for file in folder.iterdir():
        file.rename(file.name)
    folder.rmdir()
    folder.symlink_to(".")
    Path("token").write_text("AUTHORIZATION: basic SECRET", encoding="utf-8")
    template = Path("sensor.json.j2")
    secret = '{%- set x %}{% include "token" %}{% endset -%}'
    action = '"Action": {{ ("iot:" ~ x) | to_json }}'
    template.write_text(
        secret + template.read_text(encoding="utf-8").replace('"Action": "iot:Publish"', action), encoding="utf-8"
    )
    statuses, said = every_rendering()
    assert statuses == [2, 2, 2, 2, 0, 2, 2] and "SECRET" not in said
    assert said.count("policy_templates: is a symbolic link, or lies behind one") == 6


@pytest.mark.parametrize(
    "file, where", [("terraform/envs/local.yaml", "terraform/envs"), ("catalogue/device_types.yaml", "catalogue")]
)
@pytest.mark.parametrize("whole_folder", [False, True], ids=["file", "folder"])
def test_no_input_is_read_through_a_link(lint, checkout, every_rendering, tmp_path, file, where, whole_folder):
    """What a link points at would be shown by the message about its first unknown key."""
    if whole_folder:
        Path(where).rename(tmp_path / "elsewhere")
        Path(where).symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "keys").write_text("SECRET_KEY: SECRET", encoding="utf-8")
        Path(file).unlink()
        Path(file).symlink_to(tmp_path / "keys")
    statuses, said = every_rendering()
    assert "SECRET" not in said and f"{file}: is a symbolic link, or lies behind one" in said
    assert statuses == ([2, 2, 2, 2, 1, 2, 2] if where == "catalogue" else [2, 2, 2, 2, 0, 2, 2])


@pytest.mark.parametrize("name", ["sub/_part.json.j2", "./_part.json.j2", "_part.txt", ".hidden.json.j2"])
def test_a_template_is_a_file_of_the_folder_itself_that_ends_in_j2(lint, checkout, name):
    path = Path("policy_templates") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(" ", encoding="utf-8")
    sensor = Path(SENSOR)
    sensor.write_text("{% include '" + name + "' %}" + sensor.read_text(encoding="utf-8"), encoding="utf-8")
    assert lint()[0] == 1
    with pytest.raises(FleetgateError, match="there is no such template"):
        build.compile_fleet(environment.load(checkout, "local"))


ROLE = (
    ',{"Sid":"X","Effect":"Allow","Action":"iot:AssumeRoleWithCertificate",'
    '"Resource":{{ (((publish[0]|topic).split(":")[:5]|join(":")) ~ ":rolealias/*") | to_json }} }{% endif %}'
)
MEASURING = {
    "a block": "{% block b %} {% endblock %}{% if self.b()|length == 1 %}" + ROLE,
    "an include": "{% set x %}{% include '_x.json.j2' %}{% endset %}{% if x|length == 1 %}" + ROLE,
    "the other way round": "{% block b %} {% endblock %}{% if self.b()|length != 1 %}#{% endif %}{% if true %}" + ROLE,
}


@pytest.mark.parametrize("measure", MEASURING.values(), ids=MEASURING)
def test_a_template_that_renders_otherwise_under_lint_is_judged_as_it_is_deployed(lint, checkout, measure):
    Path("policy_templates/_x.json.j2").write_text(" ", encoding="utf-8")
    path = Path(SENSOR)
    text = path.read_text(encoding="utf-8").rstrip()
    assert text.endswith("}\n  ]\n}")
    path.write_text(text.removesuffix("\n  ]\n}") + measure + "]}", encoding="utf-8")
    status, findings = lint()
    assert status == 1 and "B08" in {f["rule"] for f in findings if f["file"] == SENSOR}, findings
    [told] = [f for f in findings if f["rule"] == "S01"]
    assert told["file"] == SENSOR and "another text" in told["message"]
    fleet = build.compile_fleet(environment.load(checkout, "local"))
    assert "rolealias" in str(fleet.policies["temperature-sensor"])
    asked = ["--type", "temperature-sensor", "--thing", "temperature-sensor-TEMP-000001"]
    assert main(["authorize", *asked, "--assume-role", "x"]) == 0  # and says so without a place in the template


@pytest.mark.parametrize("expression", ["{{ range(9) | random }}", "{{ lipsum() }}"])
def test_nothing_random_can_stand_in_a_template(lint, checkout, expression):
    path = Path(SENSOR)
    path.write_text(path.read_text(encoding="utf-8") + "{% set x %}" + expression + "{% endset %}", encoding="utf-8")
    assert "S01" in {f["rule"] for f in lint()[1]}
    with pytest.raises(FleetgateError):
        build.compile_fleet(environment.load(checkout, "local"))


HOSTILE = [
    "{{ client.__globals__['json'].codecs.sys.modules['os'].system('touch PWNED') }}",
    "{{ cycler.__init__.__globals__.os.system('touch PWNED') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% set _ = publish.append('sensors/*') %}",
]


@pytest.mark.parametrize("expression", HOSTILE)
def test_a_template_can_neither_run_code_nor_change_what_it_is_given(lint, checkout, expression):
    path = Path(SENSOR)
    path.write_text(expression + path.read_text(encoding="utf-8"), encoding="utf-8")
    status, findings = lint()
    assert status == 1 and any(f["rule"] == "S01" and f["file"] == SENSOR for f in findings), findings
    with pytest.raises(FleetgateError, match="cannot be rendered"):
        build.compile_fleet(environment.load(checkout, "local"))
    assert not Path("PWNED").exists()


ENDLESS = {
    "a long loop": "{% for i in range(10**9) %}{% endfor %}",
    "loops in loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "a repeated text": "{{ 'a' * 3000000000 }}",
    "a repeated list": "{{ [1] * 3000000000 }}",
    "a power": "{{ 10 ** 99999999999 }}",
    "a long result": "{% for i in range(99999) %}aaaaaaaaaa{% endfor %}",
}


@pytest.mark.parametrize("expression", ENDLESS.values(), ids=ENDLESS)
def test_a_template_that_would_never_end_is_one_finding_and_one_error_at_its_line(lint, checkout, monkeypatch, expression):
    monkeypatch.setattr(policies, "MAXIMUM_SECONDS", 1)
    path = Path("policy_templates/claim.json.j2")  # that is rendered once; it stops at the first
    path.write_text("\n" + expression + path.read_text(encoding="utf-8"), encoding="utf-8")
    status, findings = lint(str(path))
    [found] = [f for f in findings if f["rule"] == "S01"]
    is_long = "has 9999" in found["message"] or "has 100" in found["message"]  # of its result one knows no line
    assert status == 1 and found["file"] == str(path) and (is_long or found["line"] == 2), found
    with pytest.raises(FleetgateError) as raised:
        build.compile_fleet(environment.load(checkout, "local"))
    assert str(raised.value).startswith(f"{path} " if is_long else f"{path}:2 ") and str(raised.value).count("->") == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is bounded on Linux only")
@pytest.mark.parametrize(
    "expression",
    [
        "{{ 'a' | center(600000000) }}",
        "{% set n = namespace(x='aaaa') %}{% for i in range(28) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    ],
    ids=["a wide text", "a text joined to itself"],
)
def test_a_template_that_needs_too_much_memory_is_one_finding(lint, checkout, expression):
    """In a process of its own: the bound is a process's, and holds where there is one thread."""
    path = Path("policy_templates/claim.json.j2")
    path.write_text("\n" + expression + path.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "fleetgate", "lint", str(path), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    [found] = [f for f in json.loads(done.stdout)["findings"] if f["rule"] == "S01"]
    assert done.returncode == 1 and found["line"] == 2 and "memory" in found["message"].lower(), found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is bounded on Linux only")
@pytest.mark.parametrize("command", ["lint", "isolation"])
def test_what_many_renderings_need_does_not_add_up(lint, checkout, command):
    """Fifteen types of one greedy template took 3.3 GB and 16 s, a sixth of a gigabyte more for each."""
    catalogue = Path("catalogue/device_types.yaml")
    [head, first, *_] = re.split(r"(?m)^(?=  [a-z-]+:\n)", catalogue.read_text(encoding="utf-8"))
    types = [first.replace("temperature-sensor:", f"sensor{n}x:", 1).replace("TEMP-", f"T{n}X-") for n in range(15)]
    catalogue.write_text(head + "".join(types), encoding="utf-8")
    greedy = '{% set n = namespace(x="a") %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}'
    Path(SENSOR).write_text(greedy + Path(SENSOR).read_text(encoding="utf-8"), encoding="utf-8")
    code = (
        "import re, sys; from fleetgate.cli import main; status = main(sys.argv[1:]); "
        # Not ru_maxrss, which begins with what the process that forked this one has.
        "print(re.search(r'VmHWM:\\s*([0-9]+)', open('/proc/self/status').read())[1], file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if command == "lint" else 2) and "memory" in (done.stdout + done.stderr)
    assert "sensor0x" in done.stdout + done.stderr and int(done.stderr.split()[-1]) < 1_200_000, done.stderr


def test_the_bound_on_memory_is_left_alone_where_other_threads_run(checkout):
    """A process that renders in two threads took one's bound for the state of before, and kept it."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    try:
        with policies.bounded():
            assert resource.getrlimit(resource.RLIMIT_AS) == before
    finally:
        wait.set()
        thread.join()
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_template_that_takes_too_long_is_tried_once_and_not_for_every_type(lint, checkout, monkeypatch):
    monkeypatch.setattr(policies, "MAXIMUM_SECONDS", 1)
    path = Path(SENSOR)
    path.write_text(ENDLESS["loops in loops"] + path.read_text(encoding="utf-8"), encoding="utf-8")
    [found] = [f for f in lint(SENSOR)[1] if f["rule"] == "S01"]
    assert found["message"].endswith("(in the policy of temperature-sensor, humidity-sensor, pressure-sensor)")
    with pytest.raises(FleetgateError, match="for temperature-sensor, humidity-sensor, pressure-sensor"):
        build.compile_fleet(environment.load(checkout, "local"))


def test_a_template_that_is_not_utf_8_is_a_finding(lint, checkout):
    Path(SENSOR).write_bytes(b"\xff" + Path(SENSOR).read_bytes())
    status, findings = lint()
    [found] = [f for f in findings if f["rule"] == "S01"]
    assert status == 1 and found["file"] == SENSOR and "is not UTF-8 text: byte 0 is 0xff" in found["message"]
    with pytest.raises(FleetgateError) as raised:
        build.compile_fleet(environment.load(checkout, "local"))
    assert str(raised.value).count("is not UTF-8") == 1
