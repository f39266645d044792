"""B: who a policy lets a device be, and how far it reaches beyond the device's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from fleetgate.iot_policy import actions, pattern, topics, view
from fleetgate.iot_policy.model import Policy, Resource
from fleetgate.iot_policy.pattern import Pattern, Variable, Wildcard
from fleetgate.iot_policy.rule import Bundle, Hit, Severity, Subject, rule
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy
from fleetgate.iot_policy.view import RECEIVE, SELF, SENDING, STRANGERS, SUBSCRIBE, Grant

_PERMISSIVE = "https://docs.aws.amazon.com/iot-device-defender/latest/devguide/audit-chk-iot-policy-permissive.html"
_PUB_SUB = "https://docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html"
_RESERVED = "https://docs.aws.amazon.com/iot/latest/developerguide/reserved-topics.html"
_CONNECT = "https://docs.aws.amazon.com/iot/latest/developerguide/connect-policy.html"
_CLAIM = "https://docs.aws.amazon.com/iot/latest/developerguide/provision-wo-cert.html"
_PUBLISH = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/state")
_THINGS = "$aws/things/"
_NOT_ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": "false"}}


@rule(
    id="B01",
    title="Connects under any client id",
    severity=Severity.CRITICAL,
    why="Who connects under another device's client id throws that device off, and whatever is granted to the client id is"
    " his. Policies of thing groups are passed by, too, for they hold for a client id that is a thing's name. Ending other"
    " devices' connections, or looking into them, comes to the same.",
    source=_PERMISSIVE,
    fails=policy(allow("iot:Connect", f"{ARN}:client/*")),
    passes=policy(CONNECT),
)
def any_client(document: Policy) -> Iterator[Hit]:
    """One hit a statement."""
    told = None
    for name, (statement, resource, _) in document.view.allowed(view.CONNECT, *_OF_CLIENTS):
        if statement is told or view.pinned(statement, resource) or (witness := view.any_name(resource, "client")) is None:
            continue
        if name == view.CONNECT and view.guarded((document,)):
            continue
        told = statement
        what = "connect as any other" if name == view.CONNECT else f"do {actions.ACTIONS[name].name} to any other's connection"
        fix = f"write {view.place(resource)}:client/{THING}, {view.IF_ATTACHED}"
        if view.provisions(document):  # a claim has no thing
            fix = f"write {view.place(resource)}:client/claim-*, with a prefix that no device's client id has"
        yield Hit(resource.pointer, f"{resource.text:.200} lets a device {what}", fix, witness)


#: Called over HTTPS with the client id of a connection.
_OF_CLIENTS = ("iot:deleteconnection", "iot:getconnection", "iot:listsubscriptions", "iot:senddirectmessage")


@rule(
    id="B02",
    title="Reaches other things' shadows and jobs",
    severity=Severity.CRITICAL,
    why="Below $aws/things/ every thing has its shadow, its jobs and its streams. A wildcard in the thing's place hands over"
    " those of the whole account.",
    source=_PERMISSIVE,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/$aws/things/*/shadow/update")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/$aws/things/{THING}/shadow/*")),
)
def other_things(document: Policy) -> Iterator[Hit]:
    """One hit a statement."""
    told = set()
    for name, (statement, resource, _) in document.view.open_ended:
        if statement.index in told or not any(_may_hold(resource, branch) for branch in _BRANCHES):
            continue
        witness = _of_another_thing(resource, _kind(name))
        if witness is not None:
            told.add(statement.index)
            action = actions.ACTIONS[name].name
            fix = f"write {view.place(resource)}:{_kind(name)}/{_own_branch(resource)}"
            yield Hit(resource.pointer, f"{action} on {resource.text:.200} reaches every thing's", fix, witness)
    for statement in document.view.complements:
        witness = f"{_THINGS}{STRANGERS[0]}/shadow/update"
        for name in SENDING if statement.allow else ():
            if name in view.known(statement).names and view.covers(statement, "topic", witness, view.identity(SELF)):
                fix = "name the topics that are allowed, in Resource"
                yield Hit(
                    f"{statement.pointer}/NotResource", "NotResource leaves every other thing's shadow allowed", fix, witness
                )
                break


def _kind(name: str) -> str:
    return actions.ACTIONS[name].resources[0]


def _may_hold(resource: Resource, prefix: str) -> bool:
    """Whether the start of the name leaves it open; certain if False."""
    if resource.arn.kind == "*":
        return True
    name = resource.arn.name
    first = name.tokens[0] if name is not None and name.tokens else None
    if isinstance(first, Wildcard):
        return True
    return isinstance(first, str) and (first.startswith((prefix, "$aws/", topics.SHARE)) or prefix.startswith(first))


_JOBS = ("jobs/get", "jobs/notify", "jobs/7/update")
_SHADOWS = ("shadow/update", "shadow/get", "shadow/delete", "shadow/name/settings/update")
_EXECUTIONS = ("executions/7/request/json", "executions/7/response/json")
#: Where AWS has something for each thing, or each client, and what stands below its name.
_BRANCHES = {
    _THINGS: (*_SHADOWS, *_JOBS),
    "$aws/commands/things/": _EXECUTIONS,
    "$aws/commands/clients/": _EXECUTIONS,
}


def _of_another_thing(resource: Resource, kind: str) -> str | None:
    """A topic or filter of a thing that the policy cannot have in mind."""
    me = view.identity(SELF)
    name = view.name_of(resource)
    if name is not None and kind == "topicfilter" and (shared := view.shared(name)) is not None:
        return _shared_of_another(*shared)
    if name is not None and any(_names_a_thing(name, branch) for branch in _BRANCHES):
        return None
    for branch, ends in _BRANCHES.items():
        for end in ends:
            found = [f"{branch}{stranger}/{end}" for stranger in STRANGERS]
            if all(view.reaches(resource, kind, topic, me) for topic in found):
                return found[0]
    if name is None:
        return None
    made = view.example(name, me, STRANGERS[0])
    match made.split("/"):
        case ["$aws", "things", level, _, *_] | ["$aws", "commands", "things" | "clients", level, _, *_] if level == STRANGERS[0]:
            return made
        case (
            ["$aws", "things", "+" | "#", *_]
            | ["$aws", "commands", "things" | "clients" | "+", "+" | "#", *_]
            | ["$aws", "+", "+", *_]
            | ["$aws", "#"]
            | ["$aws", "+" | "commands", "#"]
        ):
            return made if kind == "topicfilter" else None
    return _below_any_name(name, kind)


def _below_any_name(name: Pattern, kind: str) -> str | None:
    """A topic or filter of any thing, or of those whose names end in some way: a wildcard begins the level of the name.

    Another may stand for a part of what is before it. In a filter + does, and a wildcard of the policy may be that +.
    """
    if not name.text.startswith(("$", "?aws", "*aws")) or view.owned(name):
        return None
    from fleetgate.iot_policy import automaton

    tokens = view.bound(name, view.identity(SELF)).tokens
    for start in _STARTS if kind == "topicfilter" else _BRANCHES:
        for rest in automaton.residues(tokens, start):
            if not rest:
                continue
            if isinstance(rest[0], str):
                if kind == "topicfilter" and rest[0] == "#":
                    return start + view.one_text(rest)
                for below in automaton.residues(rest, "+/") if kind == "topicfilter" else ():
                    return f"{start}+/{view.one_text(below)}"
            elif kind == "topicfilter" and rest[0] is Wildcard.ONE and str(rest[-1]).startswith("/") and len(rest) == 2:
                return f"{start}+{rest[1]}"
            elif Wildcard.ANY in rest or any(isinstance(token, str) and "/" in token for token in rest):
                named = automaton.Grant(automaton.Side(((STRANGERS[0], Wildcard.ANY),)))
                return start + (view.first(automaton.Grant(automaton.Side((rest,))), named, rest) or view.one_text(rest))
    return None


#: The same, and what brings all that is below them.
_STARTS = (*_BRANCHES, "$aws/+/", "$aws/commands/+/", "$aws/+/things/", "$aws/+/clients/", "$aws/+/+/")


def _shared_of_another(group: Pattern, inner: Pattern) -> str | None:
    """Of `$share/<group>/$aws/things/...`, which is another way to the same topics [assumption `shared_subscription`]."""
    found = _below_any_name(inner, "topicfilter")
    return f"{topics.SHARE}{_group(group)}/{found}" if found is not None else None


def _own_branch(resource: Resource) -> str:
    """The same below the device's own name, where that can be told."""
    name = view.name_of(resource)
    for branch in _BRANCHES if name is not None else ():
        for wildcard in ("*", "+", "#"):
            if name is not None and name.text.startswith(f"{branch}{wildcard}"):
                rest = name.text[len(branch) + 1 :]
                end = rest if rest.startswith("/") else rest[rest.find("/") :] if "/" in rest else "/*"
                return f"{branch}{THING}{end}"
    return f"{_THINGS}{THING}/shadow/*, and what else of its own it needs"


def _names_a_thing(name: Pattern, branch: str) -> bool:
    """Whether it stands below one thing, or below those of a prefix, of which B06 tells."""
    first = name.tokens[0] if name.tokens else ""
    if first == branch:
        return len(name.tokens) > 1 and isinstance(name.tokens[1], Variable)
    return isinstance(first, str) and first.startswith(branch) and first[len(branch)] not in "+#"


@rule(
    id="B03",
    title="Reads or writes any thing's shadow or jobs over HTTPS, or reads all retained messages",
    severity=Severity.CRITICAL,
    why="thing/* is every thing of the account: its shadows can be read, changed and deleted, its jobs taken. And whatever any"
    " device left retained can be fetched by its topic, without a subscription and without a word from Receive.",
    source=_PERMISSIVE,
    fails=policy(allow("iot:UpdateThingShadow", f"{ARN}:thing/*")),
    passes=policy(allow("iot:UpdateThingShadow", f"{ARN}:thing/press-7", f"{ARN}:thing/press-7/*")),
)
def any_thing(document: Policy) -> Iterator[Hit]:
    """One hit a statement."""
    told = None
    for name, (statement, resource, _) in document.view.allowed(*_THING_ACTIONS):
        if statement is told or (witness := view.any_name(resource, "thing")) is None:
            continue
        told = statement
        fix = f"write {view.place(resource)}:thing/ and the thing's name; over HTTPS thing variables have no value"
        message = f"{actions.ACTIONS[name].name} on {resource.text:.200} is allowed for every thing"
        yield Hit(resource.pointer, message, fix, f"thing/{witness}")
    for statement, resource, _ in document.view.allow.get("iot:getretainedmessage", ()):
        if statement is not told and _any_level(resource):
            told = statement
            fix = f"write {view.place(resource)}:topic/ and the topics that all devices share"
            message = f"GetRetainedMessage on {resource.text:.200} is allowed for every topic"
            yield Hit(resource.pointer, message, fix, f"plant/{STRANGERS[0]}/state")


def _any_level(resource: Resource) -> bool:
    """Whether it is every topic, every one of some depth, or AWS' of every thing."""
    if _bare(resource, "topic") is not None or _of_another_thing(resource, "topic") is not None:
        return True
    tokens = resource.arn.name.tokens if resource.arn.name is not None else ()
    return Wildcard.ANY in tokens and all(isinstance(token, Wildcard) or token in ("/", "//") for token in tokens)


_THING_ACTIONS = tuple(name.lower() for name in (*actions.SHADOW_ACTIONS, *actions.JOB_ACTIONS, *actions.OLD_JOB_ACTIONS))


#: Filters that name no level: of every topic, or of every one of some depth; AWS takes seven slashes at most.
_ALL_FILTERS = ("#", "+/#", "+/+", *("/".join(["+"] * depth + [end]) for depth in range(2, 8) for end in "#+"))
_ANY_RULE = "$aws/rules/any_rule"


def _bare(resource: Resource, kind: str) -> str | None:
    """A witness that it describes every topic, every filter, or the filter of every topic: `#`, or `?`, which stands for it."""
    name, me = resource.arn.name, view.identity(SELF)
    if resource.arn.kind == "*" or name is None:
        everything = all(view.reaches(resource, kind, stranger, me) for stranger in STRANGERS)
        return None if not everything else "#" if kind == "topicfilter" else _ANY_RULE
    if kind == "topicfilter":
        shared = view.shared(name)
        share = f"{topics.SHARE}{_group(shared[0])}/" if shared is not None else ""
        return next((share + one for one in _ALL_FILTERS if view.reaches(resource, kind, share + one, me)), None)
    wild = Wildcard.ANY in name.tokens and all(isinstance(token, Wildcard) for token in name.tokens)
    return _ANY_RULE if wild and view.reaches(resource, kind, _ANY_RULE, me) else None


def _group(group: Pattern) -> str:
    """A group of shared subscriptions that such a filter can be of."""
    return view.one_text(view.bound(group, view.identity(SELF)).tokens) or "any-group"


@rule(
    id="B04",
    title="Publishes or subscribes to everything",
    severity=Severity.CRITICAL,
    why="A bare * is also every other device's topics, $aws/things/, the rules of Basic Ingest and the provisioning topics.",
    source=_PERMISSIVE,
    fails=policy(CONNECT, allow("iot:Publish", "*")),
    passes=policy(CONNECT, _PUBLISH),
)
def everything(document: Policy) -> Iterator[Hit]:
    """One hit a statement."""
    told = set()
    for name, (statement, resource, _) in document.view.open_ended:
        witness = _bare(resource, _kind(name)) if statement.index not in told else None
        if witness is not None:
            told.add(statement.index)
            action = actions.ACTIONS[name].name
            fix = f"write {view.place(resource)}:{_kind(name)}/ and the device's own branch, with {THING} as a level"
            yield Hit(resource.pointer, f"{action} on {resource.text:.200} is allowed everywhere", fix, witness)


@rule(
    id="B05",
    title="Receives everything",
    severity=Severity.INFO,
    why="Subscribe bounds what arrives, so this is no hole. But Receive is the lock that is checked on every message, and it"
    " stands open.",
    source=_PERMISSIVE,
    fails=policy(CONNECT, allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/*"), allow("iot:Receive", f"{ARN}:topic/*")),
    passes=policy(
        CONNECT,
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/*"),
        allow("iot:Receive", f"{ARN}:topic/plant/{THING}/*"),
    ),
)
def receives_everything(document: Policy) -> Iterator[Hit]:
    subscribed = document.view.allow.get(SUBSCRIBE, ())
    if not subscribed or not any(map(_may_be_every_topic, document.view.texts)):
        return
    for _, resource, _ in document.view.allow.get(RECEIVE, ()):
        if (resource.arn.kind == "*" or resource.text.endswith("topic/*")) and _bare(resource, "topic"):
            if any(_bare(grant.resource, "topicfilter") for grant in subscribed):
                return
            yield Hit(
                resource.pointer, f"{resource.text:.200} receives whatever is subscribed to", "name the topics, as in Subscribe"
            )
            return


@lru_cache(maxsize=4096)
def _may_be_every_topic(text: str) -> bool:
    return text.endswith("topic/*") or view.name_in(text) is None


@rule(
    id="B06",
    title="A wildcard that crosses into what belongs to another",
    severity=Severity.HIGH,
    why="* takes slashes, too. plant/pump* is also plant/pump-house/..., and in plant/*/${thing}/* the first * can swallow"
    " another device's name, so that the variable no longer says who the owner is.",
    source=_PUB_SUB,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/*/{THING}/*")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/pump/{THING}/*")),
)
def crossing(document: Policy) -> Iterator[Hit]:
    told: set[str] = set()
    for statement, resource, known in document.view.where(_may_cross):
        wanted = view.name_of(resource)
        if wanted is None or not statement.allow or resource.text in told or not _mixed(wanted):
            continue
        if _CROSSING.isdisjoint(known.by_kind.get(resource.arn.kind, ())):
            continue
        found = _swallowed(wanted) or _glued(wanted, resource, document)
        if found is not None:
            told.add(resource.text)
            yield Hit(resource.pointer, f"{wanted.text:.200} {found[0]}", found[2], found[1])


@lru_cache(maxsize=4096)
def _may_cross(text: str) -> bool:
    """Whether there is a wildcard in it, other than one for all that stands behind the last slash."""
    return "?" in text or ("*" in text and not (text.endswith("/*") and text.find("*") == len(text) - 1))


_CROSSING = frozenset((*SENDING, SUBSCRIBE, *_THING_ACTIONS))


def _mixed(name: Pattern) -> bool:
    """Whether the first wildcard stands beside text in its level, or before a variable; certain if False."""
    first = next((index for index, token in enumerate(name.tokens) if isinstance(token, Wildcard)), None)
    if first is None:
        return False
    before = name.tokens[first - 1] if first else ""
    glued = first == 1 and isinstance(before, str) and not before.endswith("/")
    return glued or any(isinstance(token, Variable) for token in name.tokens[first:])


def _swallowed(wanted: Pattern) -> tuple[str, str, str] | None:
    """`*` before the variable that names the owner, and something open behind it: a topic that is two devices' at once."""
    if Wildcard.ANY not in wanted.tokens:
        return None
    first = wanted.tokens.index(Wildcard.ANY)
    place = next((index for index, token in enumerate(wanted.tokens) if view.owner(token)), -1)
    if place < first:
        return None

    def piece(start: int, end: int) -> str:
        return view.example(view.owned_by(Pattern("", wanted.tokens[start:end]), SELF), {})

    between = piece(first + 1, place)
    witness = f"{piece(0, first)}x{between}{STRANGERS[0]}{between}{piece(place, len(wanted.tokens))}"
    if not all(view.owned_by(wanted, name).matches(witness) for name in (SELF, STRANGERS[0])):
        return None
    what = f"lets {SELF} into the branch of {STRANGERS[0]}"
    return what, witness, f"write the level out, or put {_spelt(wanted.tokens[place])} before the first *"


def _spelt(token: object) -> str:
    return f"${{{token.name}}}" if isinstance(token, Variable) else ""


def _glued(wanted: Pattern, resource: Resource, document: Policy) -> tuple[str, str, str] | None:
    """Text and `*` in one level, before any variable. The start of a topic is a prefix on purpose [AWS shows that]."""
    first = wanted.tokens[0]
    if not isinstance(first, str) or not isinstance(next(iter(wanted.tokens[1:]), None), Wildcard):
        return None
    parents, slash, start = first.rpartition("/")
    if resource.arn.kind == "thing" or first.startswith(_THINGS):
        # AWS' own policies for Greengrass cores are of this form: a core connects under its name with suffixes.
        if view.of_core(document, resource) or not first.removeprefix(_THINGS) or "/" in first.removeprefix(_THINGS):
            return None
        witness = wanted.text.replace("*", "2", 1).replace("*", "x").replace("?", "2")
        return (
            f"is for every thing whose name fits {wanted.text.removeprefix(_THINGS).partition('/')[0]}",
            witness,
            f"write {THING} in its place",
        )
    if wanted.tokens[1] is Wildcard.ONE or not slash or not start or not start[-1].isalnum() or first.startswith("$"):
        return None
    witness = f"{first}-house" + view.example(Pattern("", wanted.tokens[2:]), view.identity(SELF))
    return f"is also for {parents}/{start}-house and what is below", witness, f"write {first}/*"


@rule(
    id="B07",
    title="Publishes to any rule, or to AWS' own events",
    severity=Severity.HIGH,
    why="$aws/rules/<rule> runs that rule with whatever the device sends. Below $aws/events/ AWS tells who is connected and"
    " which things exist; who may publish there may try to forge it.",
    source=_RESERVED,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/$aws/rules/*")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/$aws/rules/plant_state/{THING}")),
)
def system_topics(document: Policy) -> Iterator[Hit]:
    open_ = document.view.where(_may_be_of_system)
    for statement, resource, known in open_:
        name = resource.arn.name
        if resource.arn.kind != "topic" or name is None or not statement.allow or not name.text.startswith("$"):
            continue
        head = name.tokens[0]
        if not isinstance(head, str) or not _of_system(head) or known.names.isdisjoint(SENDING):
            continue
        if _wide(head) and _of_another_thing(resource, "topic"):
            continue
        witness = view.describes(resource, "topic", ("$aws/events/", Wildcard.ANY), view.identity(SELF))
        if witness is not None:
            fix = "remove it: a device subscribes to events at most"
            yield Hit(resource.pointer, f"{name.text:.200} is where AWS alone publishes", fix, witness)
        elif (rule := _any_rule(resource, name)) is not None:
            fix = f"name the rule: {view.place(resource)}:topic/$aws/rules/<rule>/{THING}"
            yield Hit(resource.pointer, f"{name.text:.200} runs rules that are not this device's", fix, rule)
    for statement, resource, known in open_:
        name = resource.arn.name
        if resource.arn.kind != "topic" or name is None or name.text[:1] not in ("*", "?") or not statement.allow:
            continue
        if known.names.isdisjoint(SENDING) or _bare(resource, "topic") is not None:
            continue
        for start, what in (
            ("$aws/rules/", "runs rules that are not this device's"),
            ("$aws/events/", "is where AWS alone publishes"),
        ):
            witness = view.describes(resource, "topic", (start, Wildcard.ANY), view.identity(SELF))
            if witness is not None:
                fix = f"write {view.place(resource)}:topic/ and the first level out"
                yield Hit(resource.pointer, f"{name.text:.200} {what}", fix, witness)
                break


@lru_cache(maxsize=4096)
def _may_be_of_system(text: str) -> bool:
    name = view.name_in(text)
    if name is None or name[:1] in ("*", "?"):
        return True
    return name[:1] == "$" and name[1:2] != "{" and _of_system(view.WILD_OR_VARIABLE.split(name, maxsplit=1)[0])


def _of_system(head: str) -> bool:
    """Whether the text before the first wildcard leads to rules or events, or leaves it open for either."""
    return head.startswith(("$aws/events", "$aws/rules")) or "$aws/rules".startswith(head) or "$aws/events".startswith(head)


def _wide(head: str) -> bool:
    """Whether it may be for things, too: then B02 tells of it."""
    return "$aws/things/".startswith(head)


def _any_rule(resource: Resource, name: Pattern) -> str | None:
    """A wildcard in the rule's name, or before it."""
    head = name.tokens[0]
    assert isinstance(head, str)
    if len(name.tokens) == 1 or isinstance(name.tokens[1], Variable) or head.count("/") > 2:
        return None
    return view.describes(resource, "topic", ("$aws/rules/", Wildcard.ANY), view.identity(SELF))


@rule(
    id="B08",
    title="Takes the credentials of any role alias",
    severity=Severity.CRITICAL,
    why="Each role alias stands for an IAM role. rolealias/* gives a device the rights of all of them, also of those made later.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html",
    fails=policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/*")),
    passes=policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/plant-logs")),
)
def any_role(document: Policy) -> Iterator[Hit]:
    for _, resource, _ in document.view.allow.get("iot:assumerolewithcertificate", ()):
        if (witness := view.any_name(resource, "rolealias")) is not None:
            fix = f"write {view.place(resource)}:rolealias/ and the name of the one alias"
            yield Hit(resource.pointer, f"{resource.text:.200} is every role alias", fix, f"rolealias/{witness}")


@rule(
    id="B09",
    title="A claim that may do more than provision, or a device that may provision",
    severity=Severity.CRITICAL,
    why="The claim's key is in every device of a batch: whoever opens one has it. It may connect, ask for a certificate and"
    " register with its own template, and nothing else; and a device that has its certificate needs none of that any more.",
    source=_CLAIM,
    fails=policy(
        allow("iot:Connect", f"{ARN}:client/claim-*"),
        allow("iot:Publish", f"{ARN}:topic/$aws/certificates/create/*", f"{ARN}:topic/$aws/provisioning-templates/*"),
    ),
    passes=policy(
        allow("iot:Connect", f"{ARN}:client/claim-*"),
        allow(
            "iot:Publish", f"{ARN}:topic/$aws/certificates/create/*", f"{ARN}:topic/$aws/provisioning-templates/press/provision/*"
        ),
    ),
    subject=Subject.BUNDLE,
)
def claim(bundle: Bundle) -> Iterator[Hit]:
    if bundle.claim is None and not any(map(view.provisions, bundle.policies)):
        return
    claims: list[tuple[int, Grant]] = []
    others: list[tuple[int, Grant]] = []
    for index, name, grant in view.allowed(bundle.policies, *_NOT_CONNECT):
        text = grant.resource.arn.name.text if grant.resource.arn.name is not None else ""
        (claims if text.startswith(view.PROVISIONING) and name in view.MESSAGING else others).append((index, grant))
    device = bundle.claim is False or (bundle.claim is None and _of_a_thing(bundle))
    if bundle.claim is False:
        others = []
    if claims and (others or device):
        index, grant = claims[0]
        also = f", and may also use {others[0][1].resource.text:.200}" if others else ", and is a device's policy"
        fix = "give claims a policy of their own, with Connect and the provisioning topics, and take those out of every other"
        yield Hit(grant.resource.pointer, f"{grant.resource.text:.200} asks for certificates{also}", fix, policy=index)
    elif others and bundle.claim:
        index, grant = others[0]
        fix = "remove it: a claim connects, asks for a certificate and registers"
        yield Hit(grant.resource.pointer, f"a claim may use {grant.resource.text:.200}", fix, policy=index)
    yield from _templates(claims, bundle.templates)


_NOT_CONNECT = tuple(name for name, action in actions.ACTIONS.items() if name != view.CONNECT and not action.any_resource)


def _of_a_thing(bundle: Bundle) -> bool:
    """Whether it lets connect who is a thing: a claim's certificate is attached to none."""
    for _, _, (statement, resource, _) in view.allowed(bundle.policies, view.CONNECT):
        if view.attached_only(statement) or any(view.is_thing(name) for name in resource.arn.variables):
            return True
    return False


def _templates(claims: list[tuple[int, Grant]], names: tuple[str, ...]) -> Iterator[Hit]:
    """Registers with any template, or with one that is not this fleet's. One hit a statement."""
    told = None
    for index, (statement, resource, _) in claims:
        levels = resource.arn.name.text.split("/") if resource.arn.name is not None else []
        if statement is told or levels[1:2] != ["provisioning-templates"]:
            continue
        name = levels[2]
        wide = "*" in name or "?" in name
        if wide or (names and name not in names and "${" not in name):
            told = statement
            message = (
                "registers with any provisioning template"
                if wide
                else f"registers with {name}, which is not this fleet's template"
            )
            fix = f"write $aws/provisioning-templates/{names[0] if names else '<template>'}/provision/*"
            yield Hit(
                resource.pointer,
                f"{resource.text:.200} {message}",
                fix,
                f"$aws/provisioning-templates/{STRANGERS[0]}/provision/json",
                index,
            )


@rule(
    id="B10",
    title="Connects under, or ends the connection of, any client id of a form",
    severity=Severity.MEDIUM,
    why="With client/press-* every press may connect as every other, and throw it off; with iot:DeleteConnection it need not even"
    " connect. A client id is the device's own only if the policy ties it to the thing or to the certificate.",
    source=_CONNECT,
    fails=policy(allow("iot:Connect", f"{ARN}:client/press-*")),
    passes=policy(CONNECT),
    subject=Subject.BUNDLE,
)
def some_client(bundle: Bundle) -> Iterator[Hit]:
    """One hit a statement. A claim has no thing, and a Greengrass core connects under its name with suffixes."""
    if bundle.claim or any(view.provisions(document) for document in bundle.policies):
        return
    told = None
    for index, action, (statement, resource, _) in view.allowed(bundle.policies, view.CONNECT, *_OF_CLIENTS):
        wild = "*" in resource.text or "?" in resource.text or resource.arn.variables
        if not wild or statement is told or view.pinned(statement, resource) or view.any_client(resource):
            continue
        document, name = bundle.policies[index], view.name_of(resource)
        # V06 and V07 tell of a wildcard beside the thing's name.
        if name is None or any(view.owner(token) and not view.chosen(token) for token in name.tokens):
            continue
        if view.of_core(document, resource) or (action == view.CONNECT and view.guarded(bundle.policies)):
            continue
        told = statement
        witness = view.example(name, view.identity(SELF, STRANGERS[0]), "2")
        fix = f"write {view.place(resource)}:client/{THING}, {view.IF_ATTACHED}"
        what = f"connect as {witness}"
        if action != view.CONNECT:
            what, fix = f"do {actions.ACTIONS[action].name} to {witness}", "remove it: over HTTPS nothing ties it to the device"
        yield Hit(resource.pointer, f"{resource.text:.200} lets a device {what}", fix, witness, index)


@rule(
    id="B11",
    title="A wildcard in the place where a device's name would stand",
    severity=Severity.LOW,
    why="devices/*/cmd and devices/+/cmd are every device's. For topics that all share that is meant; for a device's own it lets"
    " each into all others'. fleetgate isolation tells, where the catalogue says which topics are whose.",
    source=_PUB_SUB,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/devices/*/state")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/devices/{THING}/state")),
)
def middle(document: Policy) -> Iterator[Hit]:
    told: set[str] = set()
    for statement, resource, known in document.view.where(_may_be_middle):
        name = resource.arn.name
        if name is None or view.owned(name) or not statement.allow or resource.arn.kind not in ("topic", "topicfilter"):
            continue
        if not _MIDDLE.match(name.text) or name.text in told or _REACHED.isdisjoint(known.by_kind.get(resource.arn.kind, ())):
            continue
        if _bare(resource, resource.arn.kind) is not None:
            continue
        told.add(name.text)
        plain = pattern.parse(name.text.replace("+", "*")) if resource.arn.kind == "topicfilter" else name
        witness = view.example(plain, view.identity(SELF), STRANGERS[0]).replace("/#", "/x")
        fix = f"write {THING} for the wildcard, if the topics are the device's own"
        yield Hit(resource.pointer, f"{name.text:.200} is {witness}, too", fix, witness)


@lru_cache(maxsize=4096)
def _may_be_middle(text: str) -> bool:
    name = view.name_in(text)
    return name is None or _MIDDLE.match(name) is not None


_REACHED = frozenset((*SENDING, SUBSCRIBE))
#: Something stands behind a level of wildcards, or AWS tells of every device below. The rest of AWS' topics is other rules'.
_MIDDLE = re.compile(r"\$aws/events/.*[*?+#]|(?:\$share/[^/]*/)?(?!\$)(?:.*/)?[*?+]+/.")


@rule(
    id="B12",
    title="Takes the credentials of any role alias of a form",
    severity=Severity.LOW,
    why="rolealias/plant-* is also every alias that somebody will call so later, with whatever its role may do.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html",
    fails=policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/plant-*")),
    passes=policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/plant-logs")),
)
def some_role(document: Policy) -> Iterator[Hit]:
    told = None
    for _, resource, _ in document.view.allow.get("iot:assumerolewithcertificate", ()):
        name = view.name_of(resource)
        if name is None or resource.pointer == told or not any(isinstance(token, Wildcard) for token in name.tokens):
            continue
        if view.any_name(resource, "rolealias") is None:
            told = resource.pointer
            witness = f"rolealias/{view.example(name, view.identity(SELF), 'admin')}"
            fix = f"write {view.place(resource)}:rolealias/ and the name of the one alias"
            yield Hit(resource.pointer, f"{resource.text:.200} is {witness}, too", fix, witness)


@rule(
    id="B13",
    title="A guard that exclusively attached certificates may pass",
    severity=Severity.LOW,
    why="A Deny for whoever has IsAttached false keeps strangers out. But a certificate that is attached exclusively has its"
    " thing under any client id, and AWS does not say what IsAttached is then: only the Allow's resource ties the client id.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/exclusive-thing.html",
    fails=policy(allow("iot:Connect", f"{ARN}:client/*"), deny("iot:Connect", "*", **_NOT_ATTACHED)),
    passes=policy(allow("iot:Connect", f"{ARN}:client/{THING}"), deny("iot:Connect", "*", **_NOT_ATTACHED)),
    subject=Subject.BUNDLE,
)
def only_guarded(bundle: Bundle) -> Iterator[Hit]:
    """One hit a statement: B01, B10 and V03 trust the guard."""
    if not view.guarded(bundle.policies):
        return
    told = None
    for index, _, (statement, resource, _) in view.allowed(bundle.policies, view.CONNECT):
        if statement is not told and not view.pinned(statement, resource):
            told = statement
            fix = f"write {view.place(resource)}:client/{THING}"
            message = f"{resource.text:.200} leaves the client id open to a certificate that is attached exclusively"
            yield Hit(resource.pointer, message, fix, policy=index)


@rule(
    id="B14",
    title="A Greengrass core's name with a wildcard, which may be a fleet's prefix",
    severity=Severity.LOW,
    why="A core connects under its name with suffixes, so AWS asks for core* there. The same text in a policy that many cores"
    " share is every one of them: their client ids, shadows and jobs.",
    source="https://docs.aws.amazon.com/greengrass/v2/developerguide/device-auth.html",
    fails=policy(allow("greengrass:GetDeploymentConfiguration", "*"), allow("iot:Connect", f"{ARN}:client/core*")),
    passes=policy(allow("greengrass:GetDeploymentConfiguration", "*"), allow("iot:Connect", f"{ARN}:client/{THING}*")),
)
def core_prefix(document: Policy) -> Iterator[Hit]:
    """One hit a policy: whoever shares it shares all of it."""
    for _, resource, _ in document.view.resources if view.greengrass(document) else ():
        if "*" in resource.text and not resource.arn.variables and view.of_core(document, resource):
            fix = f"write {THING} for the name, if more than one core has this policy"
            yield Hit(resource.pointer, f"{resource.text:.200} is for every core whose name begins so", fix)
            return


RULES = (
    any_client,
    other_things,
    any_thing,
    everything,
    receives_everything,
    crossing,
    system_topics,
    any_role,
    claim,
    some_client,
    middle,
    some_role,
    only_guarded,
    core_prefix,
)
