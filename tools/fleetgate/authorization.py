"""`fleetgate authorize` without its command line: policies from files and the catalogue, requests, and the answer as a document.

Requests and answers have the shape of `iot:TestAuthorization`; actions that it does not know stand there under their policy name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetgate import policy_files
from fleetgate.errors import FleetgateError, Problem, fail
from fleetgate.iot_policy import actions, evaluator, grants, model, source
from fleetgate.iot_policy.evaluator import Outcome, Request
from fleetgate.iot_policy.model import Policy
from fleetgate.iot_policy.source import Pointer, Source
from fleetgate.policy_files import LocatedPolicy

if TYPE_CHECKING:
    from fleetgate.environment import Environment

#: What TestAuthorization calls the actions that it knows [botocore ActionType].
ACTION_TYPES = {"CONNECT": "iot:Connect", "PUBLISH": "iot:Publish", "SUBSCRIBE": "iot:Subscribe", "RECEIVE": "iot:Receive"}
_TYPE_OF = {action: name for name, action in ACTION_TYPES.items()}
#: [botocore AuthInfos]
MAXIMUM_AUTH_INFOS = 10
_MEMBERS = {"principal", "cognitoIdentityPoolId", "authInfos", "clientId", "policyNamesToAdd", "policyNamesToSkip"}
#: Of policies that name no account: the one of AWS's own examples.
EXAMPLE_SCOPE = ("aws", "us-east-1", "123456789012")


@dataclass(frozen=True)
class AuthInfo:
    """One question: an action on one or more resources, which are answered together."""

    action: str
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Answer:
    info: AuthInfo
    outcome: Outcome


@dataclass(frozen=True)
class TestAuthorization:
    """A request document. skipped: names of policies that do not count."""

    infos: tuple[AuthInfo, ...]
    client_id: str | None
    skipped: frozenset[str]


def read_policy(file: str, taken: Iterable[str] = ()) -> LocatedPolicy:
    """A policy file, named by its stem, with a number behind it if that is taken. Raises FleetgateError with all its flaws."""
    name = stem = re.sub(r"[^\w+=,.@-]", "-", Path(file).stem)[:120]  # [botocore PolicyName]
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return policy_files.read(file, name)


@dataclass(frozen=True)
class Catalogued:
    """A device type's rendered policy. thing_type: the name of its thing type, None of the claim's."""

    attached: LocatedPolicy
    thing_type: str | None


def from_catalogue(environment: Environment, kinds: Sequence[str]) -> list[Catalogued]:
    """The policies of device types, or of claims under `claim`, as they would be sent to AWS; located in their templates."""
    from fleetgate import catalogue, names, policies
    from fleetgate.marked_templates import MarkingEnvironment, Rendered

    read = catalogue.read(environment.root)
    derived = names.derive(read, environment)
    load = policies.loader(environment.root)
    known = [*read.device_types, policies.CLAIM]
    for kind in kinds:
        if kind not in known:
            raise fail(f"device type {kind!r:.60}", "is not in the catalogue", f"name one of: {', '.join(known)}")
    rendered = policies.render(read, environment, derived, load)
    jinja = policies.renderer(environment, load, MarkingEnvironment)
    assert isinstance(jinja, MarkingEnvironment)
    inputs = policies.inputs(read, derived)
    found = []
    for kind in kinds:
        try:
            with policies.bounded():
                marked = jinja.render(*inputs[kind])
        except policies.RENDER_ERRORS as error:  # with its marks it takes longer than above, and a NUL cannot stand in it
            raise FleetgateError(policies.render_problem(error, *inputs[kind])) from None
        parsed = _parsed(marked.text)
        if parsed is None or parsed.value != rendered[kind]:  # a template that measures its output, which lint reports
            text = policies.to_document(rendered[kind])
            marked, parsed = Rendered.unmarked(text, inputs[kind][0], marked.templates), source.parse(text)

        def locate(pointer: Pointer, marked: Any = marked, parsed: Source = parsed) -> str:
            file, position = marked.origin(parsed.offset(pointer))
            return f"{policies.FOLDER}/{file}:{position.line}"

        is_claim = kind == policies.CLAIM
        name = derived.claim_policy if is_claim else derived.types[kind].policy
        policy = model.read(rendered[kind], name, policies.to_document(rendered[kind]))
        found.append(Catalogued(LocatedPolicy(policy, locate), None if is_claim else derived.types[kind].thing_type))
    return found


def _parsed(text: str) -> Source | None:
    try:
        return source.parse(text)
    except source.SourceError:
        return None


def scope(policies: Iterable[Policy]) -> str:
    """`arn:<partition>:iot:<region>:<account>` of what the policies are about; of what they leave open, that of AWS's examples.

    Raises FleetgateError if they name several.
    """
    places = grants.places(policies)
    named = [set(filter(grants.is_plain, (place[index] for place in places))) for index in range(3)]
    for what, values in zip(("partition", "Region", "account"), named, strict=True):
        if len(values) > 1:
            listed = ", ".join(sorted(values))
            raise fail("policies", f"name more than one {what}: {listed}", "say which: --arn-prefix arn:aws:iot:REGION:ACCOUNT")
    partition, region, account = (next(iter(values), usual) for values, usual in zip(named, EXAMPLE_SCOPE, strict=True))
    return f"arn:{partition}:iot:{region}:{account}"


def read_request(file: str) -> TestAuthorization:
    """A request of TestAuthorization as JSON. Raises FleetgateError with everything that is wrong with it."""
    parsed = policy_files.read_json(file, "request")
    value = parsed.value
    problems: list[Problem] = []

    def say(pointer: Pointer, what: str, remedy: str) -> None:
        problems.append(Problem(f"{file}:{parsed.position(pointer).line} {pointer}".rstrip(), what, remedy))

    infos: list[AuthInfo] = []
    if not isinstance(value, dict):
        say("", "is not an object", 'write {"authInfos": [...], "clientId": "..."}')
        raise FleetgateError(problems)
    for key in sorted(value.keys() - _MEMBERS):
        say(f"/{source.escape(key)}", "is no member of a TestAuthorization request", "remove it")
    listed = value.get("authInfos")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAXIMUM_AUTH_INFOS:
        say("/authInfos", f"is not a list of 1 to {MAXIMUM_AUTH_INFOS}", "give one entry for each question")
        listed = []
    for index, item in enumerate(listed):
        infos += _auth_info(item, f"/authInfos/{index}", say)
    client_id = value.get("clientId")
    if not isinstance(client_id, str | None):
        say("/clientId", "is not a text", "write the MQTT client id")
        client_id = None
    skipped = value.get("policyNamesToSkip", [])
    if not isinstance(skipped, list) or not all(isinstance(name, str) for name in skipped):
        say("/policyNamesToSkip", "is not a list of texts", "write the names of policies")
        skipped = []
    if value.get("policyNamesToAdd"):
        say("/policyNamesToAdd", "names policies that are not here", "give their files on the command line, and leave this out")
    if problems:
        raise FleetgateError(problems)
    return TestAuthorization(tuple(infos), client_id, frozenset(skipped))


def _auth_info(item: Any, pointer: Pointer, say: Callable[[Pointer, str, str], None]) -> list[AuthInfo]:
    if not isinstance(item, dict):
        say(pointer, "is not an object", 'write {"actionType": "PUBLISH", "resources": [...]}')
        return []
    kind, resources = item.get("actionType"), item.get("resources")
    action = actions.ACTIONS.get(ACTION_TYPES.get(kind, kind).lower()) if isinstance(kind, str) else None
    if action is None:
        remedy = f"write one of {', '.join(ACTION_TYPES)}, or an action like iot:GetThingShadow"
        say(f"{pointer}/actionType", f"{kind!r:.60} is no action", remedy)
        return []
    if not isinstance(resources, list) or not resources or not all(isinstance(one, str) for one in resources):
        say(f"{pointer}/resources", "is not a list of ARNs", "write at least one")
        return []
    return [AuthInfo(action.name, tuple(Request(action.name, one) for one in resources))]


def response(answers: Sequence[Answer], policies: Sequence[Policy], arn_prefix: str) -> dict[str, Any]:
    """The answer as TestAuthorization gives it, and beside it, in the same order, which statements each decision is by."""

    def named(names: Iterable[str]) -> dict[str, Any]:
        wanted = set(names)
        listed = [policy.name for policy in policies if policy.name in wanted]
        return {"policies": [{"policyName": name, "policyArn": f"{arn_prefix}:policy/{name}"} for name in listed]}

    results = []
    for answer in answers:
        outcome, info = answer.outcome, answer.info
        allowed = {name for name, _ in outcome.allowed_by}
        denied = {name for name, _ in outcome.denied_by}
        results.append(
            {
                "authInfo": {
                    "actionType": _TYPE_OF.get(info.action, info.action),
                    "resources": [request.resource for request in info.requests],
                },
                "allowed": named(allowed),
                "denied": {
                    "implicitDeny": named({policy.name for policy in policies} - allowed - denied),
                    "explicitDeny": named(denied),
                },
                "authDecision": outcome.decision.value,
                "missingContextValues": list(outcome.missing),
            }
        )
    decided = [[_statement(by, policies) for by in one.outcome.denied_by or one.outcome.allowed_by] for one in answers]
    return {"authResults": results, "decidedBy": decided}


def _statement(by: tuple[str, int], policies: Sequence[Policy]) -> dict[str, Any]:
    """A statement by its policy's name and its place in that."""
    name, index = by
    found = next(one for policy in policies if policy.name == name for one in policy.statements if one.index == index)
    return {"policyName": name, "pointer": found.pointer, "sid": found.sid}


def answer(info: AuthInfo, decide: Callable[[Request], Outcome]) -> Answer:
    """All resources of a question together."""
    return Answer(info, evaluator.combine([decide(request) for request in info.requests]))


def several(listed: Iterable[tuple[str, str]]) -> dict[str, str | tuple[str, ...]]:
    """Pairs by name; a name that stands more than once has all its values, in their order."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in listed:
        found[name] = (*found.get(name, ()), value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
