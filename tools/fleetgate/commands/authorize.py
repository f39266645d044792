"""`fleetgate authorize`: what AWS IoT would decide about a request, without asking AWS."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fleetgate.commands import assume, common

if TYPE_CHECKING:
    from fleetgate.authorization import Answer, AuthInfo
    from fleetgate.iot_policy.assumptions import Assumptions
    from fleetgate.iot_policy.evaluator import Identity, Outcome, Request
    from fleetgate.policy_files import LocatedPolicy

_EPILOG = """\
examples:
  fleetgate authorize --type gateway --thing gateway-GW-000001 --connect --publish gateway/gateway-GW-000001/status
  fleetgate authorize policy.json --thing pump-7 --subscribe 'pumps/pump-7/#' --receive pumps/pump-7/set
  fleetgate authorize policy.json --client-id x --action iot:GetThingShadow --resource thing/pump-7
  fleetgate authorize policy.json --request test-authorization.json --json

exit status: 0 everything is allowed; 1 something is denied; 2 wrong usage, or a file is no policy.

Each request is decided for itself, as by TestAuthorization; that a publish takes a connection as well is told beside it. What AWS
has not documented is an assumption with a name: where a decision rests on one, that is told, and --assume changes it."""

#: The options that ask: actions, the resource type that the value is a name of, what the value is, and the help.
_REQUESTS: dict[str, tuple[tuple[str, ...], str, str, str]] = {
    "--publish": (("iot:Publish",), "topic", "TOPIC", "publish to it"),
    "--retain": (
        ("iot:Publish", "iot:RetainPublish"),
        "topic",
        "TOPIC",
        "publish a retained message, which takes both actions",
    ),
    "--subscribe": (("iot:Subscribe",), "topicfilter", "FILTER", "subscribe to it"),
    "--receive": (("iot:Receive",), "topic", "TOPIC", "receive what is published to it"),
    "--get-shadow": (("iot:GetThingShadow",), "thing", "THING[/NAME]", "get a shadow, over HTTPS"),
    "--update-shadow": (("iot:UpdateThingShadow",), "thing", "THING[/NAME]", "update a shadow, over HTTPS"),
    "--delete-shadow": (("iot:DeleteThingShadow",), "thing", "THING[/NAME]", "delete a shadow, over HTTPS"),
    "--pending-jobs": (("iotjobsdata:GetPendingJobExecutions",), "thing", "THING", "list its pending jobs, over HTTPS"),
    "--describe-job": (("iotjobsdata:DescribeJobExecution",), "thing", "THING", "describe one of its jobs, over HTTPS"),
    "--start-job": (("iotjobsdata:StartNextPendingJobExecution",), "thing", "THING", "start its next job, over HTTPS"),
    "--update-job": (("iotjobsdata:UpdateJobExecution",), "thing", "THING", "report on one of its jobs, over HTTPS"),
    "--assume-role": (("iot:AssumeRoleWithCertificate",), "rolealias", "ALIAS", "get credentials through a role alias"),
}


class _Collect(argparse.Action):
    """Keeps the requests in the order in which they are given."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        namespace.asked = [*namespace.asked, (self.option_strings[0], values)]


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(subparsers, "authorize", "say what AWS IoT would allow a device, without asking AWS", _authorize)
    parser.usage = "%(prog)s POLICY.json...|--type TYPE  --thing NAME  --publish TOPIC...  [options]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.set_defaults(failed=2)
    parser.set_defaults(asked=[])
    parser.add_argument("policies", nargs="*", metavar="POLICY.json", help="a policy of the certificate")
    parser.add_argument("--type", action="append", metavar="TYPE", help="the catalogue's policy of a device type, or of `claim`")
    parser.add_argument(
        "--group-policy", action="append", default=[], metavar="FILE", help="a policy of a thing group or its parents"
    )

    who = parser.add_argument_group("who asks")
    who.add_argument("--client-id", metavar="ID", help="MQTT client id (default: the thing's name)")
    who.add_argument("--thing", metavar="NAME", help="the thing that the certificate is attached to")
    who.add_argument("--not-attached", action="store_true", help="the certificate is not attached to --thing")
    who.add_argument("--exclusive", action="store_true", help="it is attached as EXCLUSIVE_THING")
    who.add_argument("--thing-type", metavar="NAME", help="its thing type (default with --type: that type's)")
    who.add_argument("--attribute", action="append", metavar="NAME=VALUE", help="an attribute of the thing")
    who.add_argument("--certificate", action="append", metavar="FIELD=VALUE", help="like Subject.CommonName=x; again for a list")
    who.add_argument("--source-ip", metavar="ADDRESS", help="aws:SourceIp")
    who.add_argument("--domain-name", metavar="NAME", help="iot:DomainName, the name of the endpoint")
    who.add_argument("--context", action="append", metavar="KEY=VALUE", help="any other condition key; again for a list")
    who.add_argument("--protocol", choices=("mqtt", "https"), default="mqtt", help="how it publishes (default: mqtt)")

    what = parser.add_argument_group("what it asks for, any number of these")
    what.add_argument("--connect", action=_Collect, nargs=0, help="connect under its client id")
    what.add_argument("--persistent", action="store_true", help="--connect with a persistent session")
    what.add_argument("--last-will", metavar="TOPIC", help="--connect with a last will")
    for option, (_, _, value, text) in _REQUESTS.items():
        what.add_argument(option, action=_Collect, metavar=value, help=text)
    what.add_argument("--action", action=_Collect, metavar="ACTION", help="any action, on each --resource that follows")
    what.add_argument("--resource", action=_Collect, metavar="ARN", help="a whole ARN, its end like thing/x, or *")
    what.add_argument("--request", metavar="FILE", help="a request of TestAuthorization in JSON: authInfos, clientId")

    parser.add_argument("--arn-prefix", metavar="ARN", help="arn:aws:iot:REGION:ACCOUNT (default: what the policies name)")
    assume.add_option(parser)
    parser.add_argument("--assumptions", action="store_true", help="list all assumptions with their values, and do nothing else")
    parser.add_argument(
        "--json", action="store_true", help="for programs: the response of TestAuthorization, and which statements decide"
    )


def _authorize(args: argparse.Namespace) -> int:
    from fleetgate import authorization
    from fleetgate.iot_policy import evaluator

    if args.assumptions:
        _list_assumptions()
        return 0
    common.never_fail_on_output()
    common.refuse_empty(args, args.asked)
    if args.arn_prefix and not re.fullmatch(r"arn:[^:]+:iot:[^:]*:[^:]*", args.arn_prefix):
        args.refuse(f"argument --arn-prefix: {args.arn_prefix!r:.80} is not like arn:aws:iot:eu-west-1:123456789012")
    assumed = assume.made(args)
    own, groups, thing_type = _policies(args)
    prefix = args.arn_prefix or authorization.scope(one.policy for one in (*own, *groups))
    infos, client_id, skipped = _infos(args, prefix)
    own = [one for one in own if one.policy.name not in skipped]
    groups = [one for one in groups if one.policy.name not in skipped]
    asking = Asking(own, groups, _identity(args, client_id, thing_type, infos), assumed)
    answers = [authorization.answer(info, asking.decide) for info in infos]
    if args.json:
        counted = [one.policy for one in (*own, *groups)]
        common.print_json(authorization.response(answers, counted, prefix))
    else:
        _print(answers, asking)
    return 0 if all(answer.outcome.decision is evaluator.Decision.ALLOWED for answer in answers) else 1


class Asking:
    """Everything of a run but the requests."""

    def __init__(self, own: list[LocatedPolicy], groups: list[LocatedPolicy], identity: Identity, assumed: Assumptions) -> None:
        self.own = [one.policy for one in own]
        self.groups = [one.policy for one in groups]
        self.identity = identity
        self.assumed = assumed
        self.attached = {one.policy.name: one for one in (*own, *groups)}

    def decide(self, request: Request) -> Outcome:
        from fleetgate.iot_policy import evaluator

        return evaluator.authorize(self.own, request, self.identity, self.assumed, group_policies=self.groups)

    def place(self, by: tuple[str, int]) -> str:
        """`policy.json:12 /Statement/0 Sid (policy name)`."""
        name, index = by
        found = self.attached[name]
        statement = next(one for one in found.policy.statements if one.index == index)
        place = found.locate(statement.pointer)
        named = f"{statement.pointer} {statement.sid}" if statement.sid else statement.pointer
        return f"{place} {named} (policy {name})"


def _list_assumptions() -> None:
    from fleetgate.iot_policy import assumptions

    for switch in assumptions.switches():
        first, *others = assumptions.choices(switch.name)
        print(f"{switch.name}={first} (or {', '.join(others)})\n  {switch.metadata['question']}")
        print(f"  {first}: {switch.metadata['default']}\n  otherwise: {switch.metadata['otherwise']}")


def _policies(args: argparse.Namespace) -> tuple[list[LocatedPolicy], list[LocatedPolicy], str | None]:
    """The certificate's policies, the groups', and the thing type that goes with --type."""
    from fleetgate import authorization

    if not (args.policies or args.type or args.group_policy):
        args.refuse("no policy: give POLICY.json or --type TYPE")
    own: list[LocatedPolicy] = []
    thing_type = None
    if args.type:
        from fleetgate import environment

        chosen = environment.load(common.root(args), args.env)
        for found in authorization.from_catalogue(chosen, args.type):
            own.append(found.attached)
            thing_type = thing_type or found.thing_type
    groups: list[LocatedPolicy] = []
    for files, target in ((args.policies, own), (args.group_policy, groups)):
        for file in files:
            target.append(authorization.read_policy(file, {one.policy.name for one in (*own, *groups)}))
    return own, groups, thing_type


def _infos(args: argparse.Namespace, prefix: str) -> tuple[Sequence[AuthInfo], str | None, frozenset[str]]:
    """The questions, the client id that came with them, and the policies that do not count."""
    from fleetgate import authorization
    from fleetgate.authorization import AuthInfo
    from fleetgate.iot_policy.evaluator import Request

    if args.request:
        if args.asked:
            args.refuse("--request stands beside other requests: use one of the two ways")
        read = authorization.read_request(args.request)
        return read.infos, read.client_id, read.skipped
    client_id = args.client_id or args.thing or ""
    infos = []
    for action, resource in _asked(args, client_id):
        whole = resource if resource == "*" or resource.startswith("arn:") else f"{prefix}:{resource}"
        attributes = ("PersistentConnect",) * args.persistent + ("LastWill",) * (args.last_will is not None)
        connects = action.lower() == "iot:connect"
        request = Request(action, whole, attributes, args.last_will) if connects else Request(action, whole)
        infos.append(AuthInfo(action, (request,)))
    if not infos:
        args.refuse("nothing is asked: add --connect, --publish TOPIC, --subscribe FILTER, ... (see --help)")
    return infos, None, frozenset()


def _asked(args: argparse.Namespace, client_id: str) -> Iterator[tuple[str, str]]:
    """Action and resource of every request of the command line."""
    action: str | None = None
    answered = True
    for option, value in args.asked:
        if option == "--resource":
            if action is None:
                args.refuse("--resource stands without an --action before it")
            yield str(action), value
            answered = True
            continue
        if not answered:
            args.refuse(f"--action {action} stands without a --resource after it")
        action = None
        if option == "--action":
            action, answered = _action(args, value), False
        elif option == "--connect":
            yield "iot:Connect", f"client/{client_id}"
        else:
            _check(args, option, value)
            names, kind, _, _ = _REQUESTS[option]
            for name in names:
                yield name, f"{kind}/{value}"
    if not answered:
        args.refuse(f"--action {action} stands without a --resource after it")


def _action(args: argparse.Namespace, text: str) -> str:
    from fleetgate.iot_policy import actions

    found = actions.ACTIONS.get(text.lower())
    if found is None:
        near = actions.nearest(text)
        args.refuse(f"argument --action: {text!r:.60} is no action" + (f"; did you mean {near}?" if near else ""))
        raise AssertionError  # it has not come back
    return found.name


def _check(args: argparse.Namespace, option: str, value: str) -> None:
    """Refuses what no broker would take, which would only be a misleading denial."""
    from fleetgate.iot_policy import topics

    if option == "--subscribe":
        if not topics.is_filter(value):
            args.refuse(f"argument {option}: {value!r:.80} is no topic filter: + and # fill a whole level, # only the last")
    elif _REQUESTS[option][1] == "topic" and not topics.is_topic(value):
        args.refuse(f"argument {option}: {value!r:.80} is no topic: a message cannot be sent to a filter")


def _identity(args: argparse.Namespace, client_id: str | None, thing_type: str | None, infos: Sequence[AuthInfo]) -> Identity:
    from fleetgate.iot_policy import actions, evaluator

    asked = [actions.ACTIONS[info.action.lower()] for info in infos]
    if args.protocol == "https" and (wrong := [action for action in asked if not action.https]):
        args.refuse(f"argument --protocol: {wrong[0].name} exists over MQTT only")
    client_id = args.client_id if args.client_id is not None else client_id or args.thing
    if not client_id and args.protocol == "mqtt" and any(action.mqtt for action in asked):
        args.refuse("nobody asks: give --thing NAME, or --client-id ID of a connection without a thing")
    _check_thing(args, client_id)
    return evaluator.Identity(
        client_id or "",
        args.thing,
        args.thing is not None and not args.not_attached,
        args.thing_type or (thing_type if args.thing is not None else None),
        _attributes(args),
        _certificate(args),
        args.exclusive,
        _address(args),
        args.domain_name,
        args.protocol,
        _context(args),
    )


def _context(args: argparse.Namespace) -> dict[str, str | tuple[str, ...]]:
    from fleetgate import authorization
    from fleetgate.iot_policy import variables

    found = authorization.several(_pairs(args, args.context, "--context"))
    for key in found:
        name = variables.canonical(key)
        if variables.known(name) or name in variables.CONNECT_KEYS:
            args.refuse(f"argument --context: {name} has an option of its own, see --help")
    return found


def _check_thing(args: argparse.Namespace, client_id: str | None) -> None:
    from fleetgate.iot_policy import variables

    if client_id and (client_id.startswith("$") or len(client_id) > variables.MAXIMUM_CLIENT_ID):
        args.refuse(f"argument --client-id: at most {variables.MAXIMUM_CLIENT_ID} characters, the first of them not $")
    for option, value, name in (
        ("--thing", args.thing, variables.THING_NAME),
        ("--thing-type", args.thing_type, variables.THING_TYPE),
    ):
        if value is not None and not variables.is_value(name, value):
            args.refuse(f"argument {option}: {value!r:.80} is no name: letters, digits and :_- only, at most 128")
    if args.thing is None and (args.not_attached or args.exclusive or args.attribute or args.thing_type):
        args.refuse("--not-attached, --exclusive, --attribute and --thing-type say something about a thing: give --thing NAME")
    if args.not_attached and args.exclusive:
        args.refuse("--exclusive stands beside --not-attached")


def _attributes(args: argparse.Namespace) -> dict[str, str]:
    from fleetgate.iot_policy import variables

    found = dict(_pairs(args, args.attribute, "--attribute"))
    for name, value in found.items():
        if not variables.is_value(f"{variables.ATTRIBUTES}[{name}]", value):
            args.refuse(f"argument --attribute: {name}={value!r:.80}: letters, digits and _.,@/:#=[]- only, at most 800")
    return found


def _certificate(args: argparse.Namespace) -> dict[str, str | tuple[str, ...]]:
    from fleetgate import authorization
    from fleetgate.iot_policy import variables

    found = authorization.several(_pairs(args, args.certificate, "--certificate"))
    known = (*variables.CERTIFICATE_FIELDS, variables.SERIAL_NUMBER, variables.CERTIFICATE_ID)
    fields = [variables.split_certificate(name)[0] for name in known]
    for name in found:
        if name not in fields:
            near = (variables.nearest(variables.CERTIFICATE + name) or "").removeprefix(variables.CERTIFICATE)
            args.refuse(
                f"argument --certificate: {name!r:.60} is no field of a certificate" + (near and f"; did you mean {near}?")
            )
    return found


def _address(args: argparse.Namespace) -> str | None:
    import ipaddress

    given: str | None = args.source_ip
    try:
        return given and str(ipaddress.ip_address(given))
    except ValueError:
        args.refuse(f"argument --source-ip: {given!r:.60} is no address")
        raise


def _pairs(args: argparse.Namespace, given: Sequence[str] | None, option: str) -> list[tuple[str, str]]:
    found = []
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            args.refuse(f"argument {option}: {text!r:.60} is not NAME=VALUE")
        found.append((name, value))
    return found


def _print(answers: Sequence[Answer], asking: Asking) -> None:
    """Every decision with why and what to do, then what the allowed requests need besides and have not."""
    from fleetgate.errors import printable
    from fleetgate.iot_policy import evaluator
    from fleetgate.iot_policy.model import short

    asked = [request for answer in answers for request in answer.info.requests]
    needs: dict[Request, Outcome] = {}
    for request in asked:
        outcome = asking.decide(request)
        print(printable(f"{outcome.decision.value:<13}  {request.action} {short(request.resource)}"))
        for line in _why(request, outcome, asking):
            print(printable(f"    {line}"))
        if outcome.allowed:
            found = evaluator.session(asking.own, request, asking.identity, asking.assumed, group_policies=asking.groups)
            needs |= {needed: its for needed, its in found if needed not in asked and not its.allowed}
    for needed, its in needs.items():
        print(printable(f"It also takes {needed.action} {short(needed.resource)}, which is {its.decision.value}."))


def _why(request: Request, outcome: Outcome, asking: Asking) -> Iterator[str]:
    from fleetgate.iot_policy import evaluator, reasons

    policies = {"group_policies": asking.groups}
    if outcome.decision is evaluator.Decision.IMPLICIT_DENY:
        for reason in reasons.why_not(asking.own, request, asking.identity, asking.assumed, **policies):
            yield f"{asking.place(reason.by)}: {reason.what}" if reason.by else reason.what
            if reason.fix:
                yield f"  -> {reason.fix}"
    else:
        yield from (
            f"{'by' if outcome.allowed else 'denied by'} {asking.place(by)}" for by in outcome.denied_by or outcome.allowed_by
        )
    if outcome.missing:
        yield f"without a value: {', '.join(outcome.missing)}"
    for name, value, decision in evaluator.depends_on(asking.own, request, asking.identity, asking.assumed, **policies):
        yield f"rests on an assumption: {decision.value} under --assume {name}={value}"
