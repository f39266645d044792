"""R: whether the resources of a statement are there, and whether its actions can use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from fleetgate.iot_policy import actions, pattern, view
from fleetgate.iot_policy.model import Arn, Policy, Resource, Statement
from fleetgate.iot_policy.rule import Bundle, Hit, Severity, Subject, rule
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, policy
from fleetgate.iot_policy.rules.structure import left_over
from fleetgate.iot_policy.view import SENDING, SUBSCRIBE

_RESOURCES = "https://docs.aws.amazon.com/iot/latest/developerguide/iot-action-resources.html"
_TOPICS = "https://docs.aws.amazon.com/iot/latest/developerguide/reserved-topics.html"
_PUBLISH = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/state")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}")
_PARTITION = re.compile(r"aws(-[a-z]+)*")
_DIGITS = re.compile(r"[0-9]{12}")
_ANY_ARN = pattern.parse("arn:*:iot:*:*:*/*")


@lru_cache(maxsize=4096)
def _wild(part: str) -> bool:
    return "*" in part or "?" in part


@lru_cache(maxsize=4096)
def _word(part: str, right: re.Pattern[str]) -> bool:
    """Whether this stands for a region or an account without being one: `region`, `account-id`, `57EXAMPLE833`."""
    return bool(part) and not _wild(part) and not part.isdigit() and not right.fullmatch(part) and not left_over(part)


@rule(
    id="R01",
    title="Not the ARN of anything",
    severity=Severity.HIGH,
    why="AWS compares whole ARNs. One with a part missing, or with a slash too many, matches nothing, and the grant is dead.",
    source=_RESOURCES,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:/topic/plant/{THING}/state")),
    passes=policy(CONNECT, _PUBLISH),
)
def malformed(document: Policy) -> Iterator[Hit]:
    if not document.view.broken and all(_sound(*place) for place in document.view.places):
        return
    for statement, resource, _ in document.view.resources:
        foreign = resource.arn.service not in ("iot", "*", "")
        found = _service(statement, resource) if foreign else _malformed(resource)
        if found is not None:
            yield Hit(resource.pointer, f"{resource.text:.200}: {found[0]}", found[1])


@lru_cache(maxsize=4096)
def _sound(partition: str, service: str, region: str, account: str) -> bool:
    """Whether there is nothing to say about these parts of an ARN. `*` for all of them is the resource `*`."""
    digits = not account.isdigit() or _DIGITS.fullmatch(account) is not None
    known = _PARTITION.fullmatch(partition) is not None or _wild(partition)
    return known and service in ("iot", "*") and bool(region) and bool(account) and digits


def _malformed(resource: Resource) -> tuple[str, str] | None:
    """What is wrong and how to write it."""
    arn, text = resource.arn, resource.text
    if arn.problem is not None:
        parts = text.split(":")
        if _wild(text) and len(parts) < 6 and view.overlap(arn.whole, _ANY_ARN):
            return None  # a wildcard stands for the missing parts
        if len(parts) > 2 and parts[0] == "arn" and "iot" not in parts[:3] and "/" in parts[-1]:
            return "the service iot is missing", f"write {':'.join([*parts[:2], 'iot', *parts[2:]])}"
        slash = text.replace(":/", ":", 1) if len(parts) > 5 and parts[5].startswith("/") else ""
        return arn.problem, f"write {slash or _form(arn.kind)}"
    if text == "*":
        return None
    if not _wild(arn.partition) and not _PARTITION.fullmatch(arn.partition) and not _blank(arn.partition):
        return f"there is no partition {arn.partition!r:.40}", "write aws, aws-cn or aws-us-gov"
    for what, value in (("Region", arn.region), ("account", arn.account)):
        if not value:
            return f"the {what} is empty", f"write {_form(arn.kind)}"
    if arn.account.isdigit() and not _DIGITS.fullmatch(arn.account):
        return f"an account has 12 digits, {arn.account} has {len(arn.account)}", "write the account's 12 digits"
    if arn.name is not None and not arn.name.text:
        return f"nothing stands after {arn.kind}/", f"write {_form(arn.kind)}"
    return None


def _blank(partition: str) -> bool:
    """As documentation writes it."""
    return "partition" in partition.lower() or bool(left_over(partition))


def _service(statement: Statement, resource: Resource) -> tuple[str, str] | None:
    """An ARN of another service, next to actions that act on AWS IoT alone. Greengrass' own actions are not judged."""
    known = view.known(statement)
    if known.open or _wild(resource.arn.service) or left_over(resource.arn.service):
        return None
    return f"an ARN of {resource.arn.service}, and the actions are those of iot", f"write {_form(resource.arn.kind)}"


def _form(kind: str | None) -> str:
    return f"arn:aws:iot:<region>:<account>:{kind if kind and kind != '*' else 'topic'}/..."


def _judged(document: Policy) -> Iterator[tuple[Statement, view.Actions, list[Resource]]]:
    """Statements whose resources this table knows, with those that are ARNs."""
    for statement, known in document.view.statements:
        if known.names and not statement.negated_resources and not statement.negated_actions:
            yield statement, known, [item for item in statement.resources if item.arn.kind is not None and _iot(item)]


def _iot(resource: Resource) -> bool:
    return resource.arn.service == "iot" or _wild(resource.arn.service)


@rule(
    id="R02",
    title="An action without a resource that it can use",
    severity=Severity.HIGH,
    why="Each action is checked against ARNs of one type: Connect client/, Publish and Receive topic/, Subscribe topicfilter/,"
    " shadows and jobs thing/. An action beside ARNs of other types only is allowed, or denied, nowhere.",
    source=_RESOURCES,
    fails=policy(CONNECT, allow("iot:Subscribe", f"{ARN}:topic/plant/{THING}/orders")),
    passes=policy(
        CONNECT,
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/orders"),
        allow("iot:Receive", f"{ARN}:topic/plant/{THING}/orders"),
    ),
)
def unusable_action(document: Policy) -> Iterator[Hit]:
    """One hit for a statement and resource type."""
    if not document.view.unusable and all(len(known.needed) < 2 for _, known in document.view.statements):
        return
    for statement, known, resources in _judged(document):
        dead: dict[str, list[str]] = {}
        for name in _dead(known, resources):
            dead.setdefault(actions.ACTIONS[name].resources[0], []).append(name)
        for kind, names in dead.items():
            first = actions.ACTIONS[names[0]]
            pointer = next(
                (text.pointer for text in statement.actions if first in actions.matching(text.text)), statement.pointer
            )
            listed = ", ".join(actions.ACTIONS[name].name for name in names)
            message = f"{listed} needs {kind}/, and the resources here are {_kinds(resources)}"
            yield Hit(pointer, message, f"write {_as_kind(resources[0], kind)}")


def _dead(known: view.Actions, resources: list[Resource]) -> list[str]:
    """The actions, each named or the only one that its wildcard stands for, that none of the resources is for."""
    kinds = {resource.arn.kind for resource in resources}
    if not kinds or "*" in kinds or len(known.names) > _SEVERAL:
        return []
    return [
        name for name in sorted(known.names) if (usable := actions.ACTIONS[name].resources) and not kinds.intersection(usable)
    ]


#: More actions than anybody writes into one statement: they come from a wildcard, and no resource is for all of them.
_SEVERAL = 12


def _kinds(resources: list[Resource]) -> str:
    return ", ".join(dict.fromkeys(f"{resource.arn.kind}/" for resource in resources))


def _as_kind(resource: Resource, kind: str) -> str:
    """The same ARN, of another type."""
    prefix, _, name = resource.text.partition(f":{resource.arn.kind}/")
    if kind == "thing" and name.startswith("$aws/things/"):
        name = name.split("/")[2]
    return f"{prefix}:{kind}/{name}"


@rule(
    id="R03",
    title="A resource that no action of the statement can use",
    severity=Severity.MEDIUM,
    why="A filter in a statement that only publishes, or a topic beside Subscribe, gives nothing: a typo, or a permission that"
    " somebody believes in.",
    source=_RESOURCES,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/{THING}/state", f"{ARN}:topicfilter/plant/{THING}/orders")),
    passes=policy(CONNECT, _PUBLISH),
)
def unusable_resource(document: Policy) -> Iterator[Hit]:
    for statement, known, resources in _judged(document) if document.view.unusable else ():
        if known.open or _dead(known, resources):
            continue
        for resource in resources:
            if resource.arn.kind not in known.by_kind:
                names = ", ".join(text.text for text in statement.actions[:3])
                fix = f"remove it, or {_meant(resource, known)}"
                yield Hit(resource.pointer, f"{names} cannot use {resource.arn.kind}/: {resource.text:.200}", fix)


def _meant(resource: Resource, known: view.Actions) -> str:
    for kind in known.by_kind:
        if kind is not None and kind != "*":
            return f"write {_as_kind(resource, kind)}"
    return 'write "*"'


@rule(
    id="R04",
    title="Any Region or account, or another one",
    severity=Severity.MEDIUM,
    why="A certificate works in one account and Region. A wildcard there, or another account's number, was copied from"
    " somewhere and either grants nothing or hides what is meant.",
    source=_RESOURCES,
    fails=policy(CONNECT, allow("iot:Publish", f"arn:aws:iot:*:*:topic/plant/{THING}/state")),
    passes=policy(CONNECT, _PUBLISH),
    subject=Subject.BUNDLE,
)
def place(bundle: Bundle) -> Iterator[Hit]:
    """One hit a statement. If nobody knows the account, the bundle's first ARN says which one is meant."""
    account = bundle.account
    if bundle.region is None and _one_place(bundle):
        return
    for index, document in enumerate(bundle.policies):
        told = None
        for statement, resource, _ in document.view.resources:
            arn = resource.arn
            shortened = not arn.service and _malformed(resource) is None  # `arn:aws:iot:*`
            if statement is told or resource.text == "*" or not (arn.service in ("iot", "*") or shortened):
                continue
            if shortened or _wild(arn.partition) or _wild(arn.region) or _wild(arn.account):
                problem = "holds for any partition, Region or account" if statement.allow else None
            else:
                account = account or (arn.account if _DIGITS.fullmatch(arn.account) else None)
                problem = _elsewhere(arn, bundle.region, account)
            if problem is not None:
                told = statement
                rest = resource.text.split(":", 5)[5] if resource.text.count(":") > 4 else "..."
                fix = f"write arn:aws:iot:{bundle.region or _plain(arn.region)}:{account or '<account>'}:{rest}"
                yield Hit(resource.pointer, f"{resource.text:.200} {problem}", fix, policy=index)


def _plain(region: str) -> str:
    return region if _REGION.fullmatch(region) else "<region>"


def _one_place(bundle: Bundle) -> bool:
    """Whether all ARNs are of one account, the one that is known if one is, and without wildcards; certain if True."""
    only: tuple[str, str, str, str] | None = None
    for document in bundle.policies:
        if document.view.broken:
            return False
        for place in document.view.places:
            if place == ("*", "*", "*", "*"):
                continue
            if only not in (None, place):
                return False
            only = place
    return only is None or (bundle.account in (None, only[3]) and not any(map(_wild, only)))


def _elsewhere(arn: Arn, region: str | None, account: str | None) -> str | None:
    if account not in (None, arn.account) and _DIGITS.fullmatch(arn.account):
        return f"is in account {arn.account}, the policy belongs to {account}"
    if region not in (None, arn.region) and _REGION.fullmatch(arn.region):
        return f"is in {arn.region}, the policy belongs to {region}"
    return None


@rule(
    id="R05",
    title="A list action on something else than *",
    severity=Severity.MEDIUM,
    why="ListRetainedMessages and ListNamedShadowsForThing are checked against *. On any other resource they are dead.",
    source=_RESOURCES,
    fails=policy(CONNECT, allow("iot:ListRetainedMessages", f"{ARN}:topic/plant/*")),
    passes=policy(CONNECT, allow("iot:ListRetainedMessages", "*")),
)
def list_action(document: Policy) -> Iterator[Hit]:
    for statement, known in document.view.statements if not document.view.actions.isdisjoint(_LISTS) else ():
        if _LISTS.isdisjoint(known.names) or statement.negated_resources or statement.negated_actions:
            continue
        if "*" in {item.text for item in statement.resources}:
            continue
        for text in statement.actions:
            if text.text.lower() in _LISTS:
                fix = f'allow {text.text} on "*", in a statement of its own'
                yield Hit(text.pointer, f"{text.text} is not allowed on {statement.resources[0].text:.200}, only on *", fix)


_LISTS = frozenset(name for name, action in actions.ACTIONS.items() if not action.resources and not action.any_resource)


@rule(
    id="R06",
    title="The classic shadow without the named ones",
    severity=Severity.LOW,
    why="A named shadow is thing/<thing>/<shadow> to the HTTPS API: thing/<thing> does not cover it.",
    source=_RESOURCES,
    fails=policy(allow("iot:GetThingShadow", f"{ARN}:thing/press-7")),
    passes=policy(allow("iot:GetThingShadow", f"{ARN}:thing/press-7", f"{ARN}:thing/press-7/*")),
)
def named_shadows(document: Policy) -> Iterator[Hit]:
    if _SHADOWS.isdisjoint(document.view.allow):
        return
    grants = [grant for _, grant in document.view.allowed(*_SHADOWS)]
    names = [grant.resource.arn.name.text for grant in grants if grant.resource.arn.name is not None]
    for resource in dict.fromkeys(grant.resource for grant in grants):
        name = resource.arn.name.text if resource.arn.kind == "thing" and resource.arn.name is not None else "*"
        if "*" not in name and "/" not in name and not any(other.startswith(f"{name}/") for other in names):
            fix = f"add {resource.text}/*, if it has named shadows"
            yield Hit(resource.pointer, f"{resource.text} covers the classic shadow only", fix)


_SHADOWS = dict.fromkeys(name.lower() for name in actions.SHADOW_ACTIONS).keys()


#: Forward slashes of a topic, and its bytes [AWS IoT Core quotas].
_SLASHES, _BYTES = 7, 256


@rule(
    id="R07",
    title="A topic that AWS IoT does not take, or hardly anybody means",
    severity=Severity.MEDIUM,
    why="A topic has at most seven slashes and 256 bytes; the first three levels of Basic Ingest do not count. A slash at the"
    " start, or two in a row, makes a level without a name: legal in MQTT, and nearly always a typo.",
    source="https://docs.aws.amazon.com/general/latest/gr/iot-core.html#message-broker-limits",
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/hall/line/cell/robot/axis/motor/{THING}/state")),
    passes=policy(CONNECT, _PUBLISH),
)
def shape(document: Policy) -> Iterator[Hit]:
    for statement, resource, _ in document.view.where(_may_break_limits):
        name = resource.arn.name
        if resource.arn.kind in ("topic", "topicfilter") and name is not None and statement.allow:
            problem = _problem(name.text)
            if problem is not None:
                yield Hit(resource.pointer, f"{name.text:.300} {problem[0]}", problem[1], name.text)


@lru_cache(maxsize=4096)
def _may_break_limits(text: str) -> bool:
    # The resource type's own slash counts here, and a slash at the start of the topic is a second one.
    return (
        view.name_in(text) is None or text.count("/") > _SLASHES + 1 or len(text) > _BYTES or not text.isascii() or "//" in text
    )


def _problem(text: str) -> tuple[str, str] | None:
    plain = re.sub(r"\$\{[^}]*\}", "x", text)
    if plain.startswith("$") and not plain.startswith("$aws/rules/"):
        return None
    if plain.startswith("$aws/rules/"):
        plain = plain.split("/", 3)[-1]
    if plain.count("/") > _SLASHES:
        return f"has {plain.count('/')} slashes, AWS IoT takes {_SLASHES}", "put levels together"
    if len(plain.encode(errors="surrogatepass")) > _BYTES:
        return f"has over {_BYTES} bytes", "shorten it"
    if plain.startswith("/") or "//" in plain:
        return "has a level without a name", f"write {re.sub('/{2,}', '/', text).removeprefix('/')}"
    return None


_SECOND = ("things", "certificates", "provisioning-templates", "rules", "events", "sitewise", "commands", "iotfleetwise")
_SERVICES = ("shadow", "jobs", "streams", "defender", "tunnels", "greengrass", "greengrassv2")
_SHADOW = ("get", "update", "delete", "name")
_ANSWERS = ("accepted", "rejected", "delta", "documents")


@rule(
    id="R08",
    title="A misspelt reserved topic, or half of a certificate request",
    severity=Severity.HIGH,
    why="Topics under $aws/ have fixed names, and a policy compares text: $aws/certificates/create/* does not cover"
    " $aws/certificates/create-from-csr/json. Provisioning then fails without a message.",
    source=_TOPICS,
    fails=policy(
        allow("iot:Publish", f"{ARN}:topic/$aws/certificates/create-from-csr/*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/certificates/create/*"),
    ),
    passes=policy(
        allow("iot:Publish", f"{ARN}:topic/$aws/certificates/create-from-csr/*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/certificates/create-from-csr/*"),
    ),
)
def reserved(document: Policy) -> Iterator[Hit]:
    for _, resource, _ in document.view.where(_may_be_misspelt):
        name = resource.arn.name
        if name is not None and resource.arn.kind in ("topic", "topicfilter") and name.text[:1] == "$":
            typo = _typo(name.text)
            if typo is not None:
                yield Hit(resource.pointer, f"{name.text:.200}: {typo[0]} is no reserved topic's", f"write {typo[1]}", name.text)
    yield from _half_requests(document)


@lru_cache(maxsize=4096)
def _may_be_misspelt(text: str) -> bool:
    name = view.name_in(text)
    return name is None or (name[:1] == "$" and name[1:2] != "{" and _typo(name) is not None)


@lru_cache(maxsize=4096)
def _typo(text: str) -> tuple[str, str] | None:
    """The misspelt level and the right one. Only what is near a known name: AWS adds topics of its own."""
    match text.split("/"):
        case ["$AWS", "rules", *_]:
            return None  # AWS' own pages write it so in places
        case ["$aws", service, *_] if service not in _SECOND:
            return _near(service, _SECOND)
        case ["$aws", "certificates", operation, *_]:
            return _near(operation, ("create", "create-from-csr"))
        case ["$aws", "provisioning-templates", _, operation, *_]:
            return _near(operation, ("provision",))
        case ["$aws", "things", thing, "shadow", *rest] if "*" not in thing:
            return _shadow_typo(rest)
        case ["$aws", "things", thing, service, *_] if "*" not in thing:
            return _near(service, _SERVICES)
        case ["$aws", *_]:
            return None
        case [first, *_]:
            return _near(first, ("$aws", "$share"))
    return None


def _shadow_typo(levels: list[str]) -> tuple[str, str] | None:
    """Of what follows `shadow/`: an operation and its answer, or `name/<shadow>/` before them."""
    found = _near(levels[0], _SHADOW) if levels else None
    answers = levels[3:] if levels[:1] == ["name"] else levels[1:]
    return found or (_near(answers[0], _ANSWERS) if answers else None)


def _near(level: str, right: tuple[str, ...]) -> tuple[str, str] | None:
    if level in right or not level or any(character in level for character in "*?+#{"):
        return None
    import difflib

    close = difflib.get_close_matches(level.lower().replace("$$", "$"), right, n=1, cutoff=0.75)
    return (level, close[0]) if close else None


def _half_requests(document: Policy) -> Iterator[Hit]:
    """Who may ask with a certificate signing request must be able to hear the answer, and the other way round."""
    if "create-from-csr" not in document.view.text:
        return
    asked = document.view.allowed(*SENDING, SUBSCRIBE)
    if not any("create-from-csr" in grant.resource.text for _, grant in asked):
        return
    for name, kind in ((SENDING[0], "topic"), (SUBSCRIBE, "topicfilter")):
        answer = "" if kind == "topic" else "/accepted"
        grants = document.view.allow.get(name, [])
        if any(view.reaches(grant.resource, kind, f"$aws/certificates/create-from-csr/json{answer}", {}) for grant in grants):
            continue
        for grant in grants:
            if view.reaches(grant.resource, kind, f"$aws/certificates/create/json{answer}", {}):
                message = f"{grant.resource.text} does not cover create-from-csr, which another statement allows"
                prefix = grant.resource.text.partition(f":{kind}/")[0]
                fix = f"add {prefix}:{kind}/$aws/certificates/create-from-csr/*"
                yield Hit(grant.resource.pointer, message, fix, f"$aws/certificates/create-from-csr/json{answer}")


@rule(
    id="R09",
    title="A word where the Region or the account belongs",
    severity=Severity.LOW,
    why="region, account-id or 57EXAMPLE833 is how documentation writes it. Deployed like this, the statement matches nothing.",
    source=_RESOURCES,
    fails=policy(allow("iot:Publish", "arn:aws:iot:region:account-id:topic/plant/press-7")),
    passes=policy(_PUBLISH),
)
def words(document: Policy) -> Iterator[Hit]:
    """One hit for a document."""
    for (partition, _, region, account), (_, resource, _) in document.view.places.items():
        if _word(region, _REGION) or _word(account, _DIGITS) or "partition" in partition:
            message = f"{partition}, {region}, {account}: that is no partition, Region and account"
            yield Hit(resource.pointer, message, "write the Region, like eu-central-1, and the account's 12 digits")
            return


RULES = (
    malformed,
    unusable_action,
    unusable_resource,
    place,
    list_action,
    named_shadows,
    shape,
    reserved,
    words,
)
