"""S: what a policy document is made of. (S01, which needs the text, stands in `text`.)"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from fleetgate.iot_policy import view
from fleetgate.iot_policy.model import MAXIMUM_SIZE, OLD_VERSION, VERSION, Policy, Statement
from fleetgate.iot_policy.rule import Hit, Severity, rule
from fleetgate.iot_policy.rules.examples import ARN, allow, policy

_IAM = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html"
_QUOTAS = "https://docs.aws.amazon.com/general/latest/gr/iot-core.html"
_ONE = allow("iot:Publish", f"{ARN}:topic/plant/hall-1")
#: A policy this full has no place for another topic or two.
_NEARLY_FULL = MAXIMUM_SIZE * 9 // 10


@rule(
    id="S02",
    title="Version is missing, or not 2012-10-17",
    severity=Severity.HIGH,
    why="Only version 2012-10-17 knows policy variables. In any other, ${iot:...} is plain text, which matches nothing.",
    source="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html",
    fails={"Statement": [_ONE]},
    passes=policy(_ONE),
)
def version(document: Policy) -> Iterator[Hit]:
    if document.version == VERSION or (not document.statements and document.flaws):
        return
    fix = f'write "Version": "{VERSION}"'
    if document.version is None:
        yield Hit("", "there is no Version, or it is no text", fix)
    elif document.version != OLD_VERSION:
        yield Hit("/Version", f"there is no version {document.version!r:.40}", fix)
    elif "${" in document.view.text or _variable_conditions(document):
        yield Hit("/Version", f"in version {OLD_VERSION} there are no variables, and this policy uses some", fix)


def _variable_conditions(document: Policy) -> bool:
    conditions = (condition for statement in document.statements for condition in statement.conditions)
    return any("${" in value.text for condition in conditions for value in condition.values)


@rule(
    id="S03",
    title="Effect, Action, Resource or Statement is missing or misspelt",
    severity=Severity.HIGH,
    why="AWS refuses such a document as malformed, at the time of deployment.",
    source=_IAM,
    fails=policy({"Action": "iot:Publish", "Resource": f"{ARN}:topic/plant/hall-1"}),
    passes=policy(_ONE),
)
def elements(document: Policy) -> Iterator[Hit]:
    yield from _flaws(document, "S03")


@rule(
    id="S04",
    title="An element has the wrong type or stands in the wrong place",
    severity=Severity.HIGH,
    why="An object in Resource, or a Condition inside of it, makes the document malformed; at worst the condition is lost.",
    source=_IAM,
    fails=policy(
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": [{"Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}],
        }
    ),
    passes=policy(allow("iot:Connect", f"{ARN}:client/press-7", Bool={"iot:Connection.Thing.IsAttached": "true"})),
)
def types(document: Policy) -> Iterator[Hit]:
    yield from _flaws(document, "S04")


@rule(
    id="S05",
    title="Principal in an AWS IoT policy",
    severity=Severity.HIGH,
    why="An AWS IoT policy is attached to a principal and names none. A document with one is an IAM policy, or refused.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/iot-policies.html",
    fails=policy({**_ONE, "Principal": "*"}),
    passes=policy(_ONE),
)
def principal(document: Policy) -> Iterator[Hit]:
    yield from _flaws(document, "S05")


def _flaws(document: Policy, rule_id: str) -> Iterator[Hit]:
    for flaw in document.flaws:
        if flaw.rule == rule_id:
            yield Hit(flaw.pointer, flaw.message, flaw.fix)


def _with_topics(count: int) -> dict[str, Any]:
    return policy(allow("iot:Publish", *(f"{ARN}:topic/plant/hall/line-{index:03}" for index in range(count))))


@rule(
    id="S06",
    title="The policy is larger than 2,048 characters",
    severity=Severity.HIGH,
    why="AWS IoT takes 2,048 characters, white space not counted, and refuses the rest only when it is deployed.",
    source=_QUOTAS,
    fails=_with_topics(31),
    passes=_with_topics(20),
)
def size(document: Policy) -> Iterator[Hit]:
    if document.size > MAXIMUM_SIZE:
        message = f"{document.size} characters without white space; AWS IoT takes {MAXIMUM_SIZE}"
        yield Hit("", message, "merge statements, use ${iot:Connection.Thing.ThingName} for names, or attach a second policy")


@rule(
    id="S09",
    title="The policy is nearly full",
    severity=Severity.LOW,
    why="Over 90 % of AWS IoT's 2,048 characters are used: a longer name or one more topic, and it cannot be deployed any more.",
    source=_QUOTAS,
    fails=_with_topics(28),
    passes=_with_topics(20),
)
def nearly_full(document: Policy) -> Iterator[Hit]:
    if _NEARLY_FULL < document.size <= MAXIMUM_SIZE:
        message = f"{document.size} of {MAXIMUM_SIZE} characters are used"
        yield Hit("", message, "merge statements, or move some into a second policy")


@rule(
    id="S07",
    title="A statement or resource says what another says already",
    severity=Severity.INFO,
    why="A policy has 2,048 characters. What can be merged, or is covered by a wider resource, takes their place for nothing.",
    source=_QUOTAS,
    fails=policy(allow("iot:Publish", f"{ARN}:topic/plant/*"), allow("iot:Publish", f"{ARN}:topic/plant/hall-1")),
    passes=policy(allow("iot:Publish", f"{ARN}:topic/plant/*")),
)
def redundant(document: Policy) -> Iterator[Hit]:
    statements = document.view.statements
    first = {statement.resources[0].text if statement.resources else "" for statement, _ in statements}
    if len(first) < len(statements) or len({id(known) for _, known in statements}) < len(statements):
        yield from _alike(document)
    for statement, _ in statements:
        resources = statement.resources
        for wide, narrow in _covered(tuple([one.text for one in resources])) if len(resources) > 1 else ():
            fix = f"remove {wide} if this one is enough; only if all of that is meant, remove this one"
            yield Hit(resources[narrow].pointer, f"is covered by {wide} beside it", fix)


def _alike(document: Policy) -> Iterator[Hit]:
    """Statements that differ in one thing only."""
    by_actions: dict[object, Statement] = {}
    by_resources: dict[object, Statement] = {}
    for statement, known in document.view.statements:
        # Two NotResource, or two NotAction, cannot be merged: their complements add up.
        if statement.negated_actions or statement.negated_resources:
            continue
        same = by_actions.setdefault((statement.allow, id(known)), statement)
        other = by_resources.setdefault((statement.allow, *[one.text for one in statement.resources]), statement)
        for one, what in ((same, "resources"), (other, "actions")):
            if one is not statement and view.same_conditions(one, statement):
                named = f"statement {one.index + 1}" + (f" ({one.sid})" if one.sid else "")
                message = f"differs from {named} only in its {what}"
                fix = f"merge it into {named} if characters are short; two with a Sid each may stay apart"
                yield Hit(statement.pointer, message, fix)
                break


@lru_cache(maxsize=1024)
def _covered(texts: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Each that another one covers: that one, and the position of what it covers."""
    found: list[tuple[str, int]] = []
    wide = [(text, text[: text.find("*")]) for text in texts if "*" in text]
    for index, narrow in enumerate(texts if wide else ()):
        for text, start in wide:
            if not narrow.startswith(start) or text == narrow:
                continue
            if _includes(_opaque(text).split("*"), _opaque(narrow)):
                found.append((text, index))
                break
    return tuple(found)


@lru_cache(maxsize=4096)
def _opaque(text: str) -> str:
    """With its variables and escapes in characters that no pattern has, so that nothing covers a part of one."""
    return re.sub(r"\$\{[^}]*\}", lambda found: "".join(chr(0xF0000 + ord(one) % 0xFFFF) for one in found[0]), text)


def _includes(runs: list[str], narrow: str) -> bool:
    """Whether each text of `narrow` is covered by these runs of text with a `*` between: certain if True."""
    first, *rest = runs
    if not rest or "?" in "".join(runs) or not narrow.startswith(first) or not narrow.endswith(rest[-1]):
        return False
    start, end = len(first), len(narrow) - len(rest[-1])
    for run in rest[:-1]:
        found = narrow.find(run, start, end)
        if found < 0:
            return False
        start = found + len(run)
    return start <= end


#: What a tool should have replaced, or replaced too much: templates of Jinja, CloudFormation and HCL, and blanks of a tutorial.
#: The first alternative is no placeholder: a variable, whose name may hold brackets.
_LEFT_OVER = re.compile(
    r"(?<!\$)\$\{(?:iot|aws):[^}]*\}"
    r"|\{\{.*?\}\}|\{%.*?%\}|&\{[^}]*\}|\$\$\{[^}]*\}|\$\{![^}]*\}"
    r"|\$\{(?:AWS::|var\.|local\.|data\.|module\.|self\.|aws_)[^}]*\}|(?<!\$)\{[A-Za-z][\w.-]*\}"
    r"|<[A-Za-z][\w .:-]*>|\[(?:YOUR|REGION|ACCOUNT)[\w -]*\]|%\(\w+\)s|%s|YOUR[_-]\w+|your[_-](?:account|region)[\w-]*"
)


@lru_cache(maxsize=4096)
def left_over(text: str) -> tuple[str, ...]:
    """The placeholders in a text of a policy."""
    marked = "<" in text or "%" in text or "[" in text or "$$" in text or "your" in text or "YOUR" in text
    if not marked and text.count("{") == text.count("${iot:"):
        return ()  # as of nearly all, without the expression
    return tuple(found for found in _LEFT_OVER.findall(text) if not found.startswith(("${iot:", "${aws:")))


@rule(
    id="S08",
    title="A placeholder is left in the policy",
    severity=Severity.HIGH,
    why="<region>, {{ account }} or ${AWS::Region} is what a template or a reader should have replaced: AWS takes it as text,"
    " and the statement matches nothing. $${iot:...} is Terraform's way to write ${iot:...} and belongs into HCL only.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/iot-action-resources.html",
    fails=policy(allow("iot:Publish", "arn:aws:iot:<region>:<account>:topic/plant/hall-1")),
    passes=policy(_ONE),
)
def placeholders(document: Policy) -> Iterator[Hit]:
    """One hit for a document: whoever left one placeholder left them all."""
    if not any(map(left_over, document.view.texts)):
        return
    found: dict[str, str] = {}
    for grant in document.view.resources:
        for placeholder in left_over(grant.resource.text):
            found.setdefault(placeholder, grant.resource.pointer)
    if found:
        names = ", ".join(list(found)[:5]) + (", ..." if len(found) > 5 else "")
        escaped = any(name.startswith(("$${", "${!")) for name in found)
        fix = "write ${...} with one dollar sign and no exclamation mark" if escaped else "write the value in its place"
        yield Hit(next(iter(found.values())), f"{names} is left in the policy", fix, next(iter(found)))


RULES = (version, elements, types, principal, size, redundant, placeholders, nearly_full)
