"""Renders the IoT policies: one Jinja template per shape, one JSON policy per device type, plus the claim policy.

A template sees only what it needs: topics as lists of text, and the filters `topic`, `topicfilter` and `to_json` and the function
`client`, which write ARNs. A value that is missing is an error that names it; the result is parsed and dumped again, so that
what leaves this module is JSON in one spelling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fleetgate import document
from fleetgate.catalogue import Catalogue, DeviceType
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, Problem
from fleetgate.names import Names

FOLDER = "policy_templates"
#: The policy of claim certificates, among the policies by device type.
CLAIM = "claim"
#: Characters of an IoT policy document, white space excluded [service quotas of AWS IoT Core].
MAXIMUM_SIZE = 2048
#: The thing that the connected certificate is attached to [IoT thing policy variables].
THING = "${iot:Connection.Thing.ThingName}"

Policy = dict[str, Any]


def size(policy: Policy) -> int:
    """Characters that count against the limit of 2048: all but white space."""
    return len("".join(json.dumps(policy, separators=(",", ":"), ensure_ascii=False).split()))


def to_text(policy: Policy) -> str:
    """The spelling of a policy in files, in Terraform and on AWS; deterministic, key order kept."""
    return json.dumps(policy, indent=2, ensure_ascii=False) + "\n"


def to_document(policy: Policy) -> str:
    """The same policy without white space, as it is sent to AWS."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def render(catalogue: Catalogue, environment: Environment, names: Names, load: Callable[[str], str | None]) -> dict[str, Policy]:
    """All policies by device type, and the claim policy under the key `claim`.

    `load` returns the text of a template by file name, or None. Raises FleetgateError with every template's mistakes.
    """
    jinja = renderer(environment, load)
    policies: dict[str, Policy] = {}
    problems: list[Problem] = []
    for name, (template, values) in inputs(catalogue, names).items():
        _render_one(jinja, name, template, values, policies, problems)
    if problems:
        raise FleetgateError(problems)
    return policies


def inputs(catalogue: Catalogue, names: Names) -> dict[str, tuple[str, dict[str, Any]]]:
    """What each policy is rendered from: the file name of its template, and the values that the template sees."""
    found = {
        name: (template_file(kind.shape), device_values(catalogue, names, name, kind))
        for name, kind in catalogue.device_types.items()
    }
    values = {"template": names.template, "claim_client_prefix": names.claim_client_prefix}
    return {**found, CLAIM: (template_file(CLAIM), values)}


def template_file(shape: str) -> str:
    return f"{shape}.json.j2"


def device_values(catalogue: Catalogue, names: Names, name: str, kind: DeviceType) -> dict[str, Any]:
    """What the template of a device type's policy sees."""

    def own(topic: str) -> str:
        return topic.replace("{type}", name).replace("{thing}", THING)

    # In the name of any thing of the type, of this fleet alone. Only the declared types, only telemetry.
    on_behalf = [
        topic.replace("{type}", other).replace("{thing}", f"{names.types[other].thing_prefix}*")
        for other in kind.publishes_on_behalf_of
        for topic in catalogue.device_types[other].topics.publish
    ]
    return {
        "thing": THING,
        "publish": [own(topic) for topic in kind.topics.publish],
        "subscribe": [own(topic) for topic in kind.topics.subscribe],
        "on_behalf": on_behalf,
    }


def loader(root: Path) -> Callable[[str], str | None]:
    """Reads a checkout's templates by name. What lies elsewhere, by a path or a link, is not there: a template could print it."""
    folder = (root / FOLDER).resolve()

    def load(name: str) -> str | None:
        path = (folder / name).resolve()
        return document.read_text(path, f"{FOLDER}/{name}") if path.is_relative_to(folder) and path.is_file() else None

    return load


def renderer(
    environment: Environment, load: Callable[[str], Any], kind: type[jinja2.Environment] = ImmutableSandboxedEnvironment
) -> jinja2.Environment:
    """The Jinja environment of policy templates. kind: `lint` takes one that remembers where its output comes from.

    Sandboxed: a pull request is linted before anybody has read it, and may neither run code nor read files.
    """
    arn = f"arn:{partition(environment.settings.region)}:iot:{environment.settings.region}:{environment.settings.account_id}"
    jinja = kind(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # JSON, not HTML: every value goes through to_json
        keep_trailing_newline=True,
    )
    jinja.filters["topic"] = lambda topic: f"{arn}:topic/{topic}"
    jinja.filters["topicfilter"] = lambda topic: f"{arn}:topicfilter/{topic}"
    jinja.filters["to_json"] = _to_json
    jinja.globals["client"] = lambda client_id: f"{arn}:client/{client_id}"
    return jinja


def partition(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _to_json(value: Any) -> str:
    """Jinja's own tojson escapes for HTML, and writes an undefined value's error without its name."""
    if isinstance(value, jinja2.Undefined):
        value._fail_with_undefined_error()
    return json.dumps(value, ensure_ascii=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


#: What a mistake in a template can raise.
RENDER_ERRORS = (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError)


def render_problem(error: Exception, name: str, template: str, values: Mapping[str, Any]) -> Problem:
    """What a person can do about an error of RENDER_ERRORS."""
    where = f"{FOLDER}/{template} (for {name})"
    if isinstance(error, jinja2.TemplateNotFound):
        return Problem(f"{FOLDER}/{error.name}", "there is no such template", "add it, or mend `shape` or `include`")
    if isinstance(error, jinja2.UndefinedError):
        return Problem(where, f"a variable is missing: {error}", f"use one of: {', '.join(sorted(values))}")
    if isinstance(error, jinja2.TemplateSyntaxError):
        return Problem(f"{FOLDER}/{error.name}:{error.lineno}", f"not a Jinja template: {error}", "mend the line")
    return Problem(where, f"cannot be rendered: {error}", "mend the expression in the template")


def _render_one(
    jinja: jinja2.Environment,
    name: str,
    template: str,
    values: Mapping[str, Any],
    policies: dict[str, Policy],
    problems: list[Problem],
) -> None:
    where = f"{FOLDER}/{template}"
    try:
        text = jinja.get_template(template).render(values)
    except RENDER_ERRORS as error:
        problems.append(render_problem(error, name, template, values))
        return
    try:
        policy = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        # What is missing at the end stands one line behind the last.
        line = next(iter(text.splitlines()[error.lineno - 1 :]), "").strip()
        what = f"the result is not JSON: {error.msg} at line {error.lineno} of it: {line:.80}"
        problems.append(Problem(f"{where} (for {name})", what, "mend the template there"))
        return
    except ValueError as error:
        problems.append(Problem(f"{where} (for {name})", f"the result is not JSON: {error}", "write a number"))
        return
    if not isinstance(policy, dict) or not {"Version", "Statement"} <= set(policy):
        problems.append(Problem(f"{where} (for {name})", "the result is not a policy", "give it Version and Statement"))
        return
    over = size(policy) - MAXIMUM_SIZE
    if over > 0:
        what = f"the policy has {size(policy)} characters without white space, AWS IoT takes {MAXIMUM_SIZE}"
        remedy = f"save {over}: fewer or shorter topics in the catalogue"
        problems.append(Problem(f"{where} (for {name})", what, remedy))
    policies[name] = policy
