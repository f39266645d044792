"""Runs the rules over documents and turns their hits into findings with a place.

A document knows the way from a JSON pointer back to the file that a person edits. Whether that is the document itself, a Jinja
template or a string inside a plan is the document's business and not the rules'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

from fleetgate.iot_policy import budget, documents, model, rules, source
from fleetgate.iot_policy.rule import Bundle, Hit, Rule, Severity, Subject
from fleetgate.iot_policy.source import Pointer, Source, SourceError

if TYPE_CHECKING:
    from fleetgate.iot_policy.plan import Plan, Resource
    from fleetgate.iot_policy.provisioning import Created, Template


@dataclass(frozen=True, slots=True)
class Place:
    """line, column: from 1, in `file`. pointer: into the document that was read. said: to be put before the message."""

    file: str
    line: int
    column: int
    pointer: Pointer
    said: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """line, column: from 1, in `file`, where a person mends it. pointer: into the document that was judged.

    statement: the Sid of the policy statement, if it stands in one that has a Sid. repeats_sid: another statement has it too.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    column: int
    pointer: Pointer
    message: str
    fix: str
    witness: str | None = None
    statement: str | None = None
    repeats_sid: bool = False


class Document(NamedTuple):
    """value: the parsed document. text: as it will be sent, if known. source: of a whole text, with its places."""

    name: str
    value: Any
    text: str | None
    locate: Callable[[Pointer], Place]
    source: Source | None = None


def whole(file: str, source: Source, name: str | None = None) -> Document:
    """A document that is a file."""

    def locate(pointer: Pointer) -> Place:
        position = source.position(pointer)
        return Place(file, position.line, position.column, pointer)

    return Document(name or file, source.value, source.text, locate, source)


def part(outer: Document, base: Pointer, name: str) -> Document:
    """An object at `base` inside another document."""
    return Document(name, source.at(outer.value, base), None, lambda pointer: outer.locate(base + pointer))


def embedded(outer: Document, base: Pointer, parsed: Source, name: str) -> Document:
    """A document that is a string at `base` inside another. Places are exact to the character if the outer one is a file."""

    def locate(pointer: Pointer) -> Place:
        return _inside(outer, base, parsed.offset(pointer), f"{name} {pointer}".rstrip())

    return Document(name, parsed.value, parsed.text, locate, parsed)


def _inside(outer: Document, base: Pointer, offset: int, said: str) -> Place:
    """The place of a character of the string at `base`."""
    place = outer.locate(base)
    if outer.source is not None:
        start = outer.source.offset(base)
        if outer.source.text[start : start + 1] == '"':
            position = source.position_at(outer.source.text, source.offset_in_string(outer.source.text, start, offset))
            place = replace(place, line=position.line, column=position.column)
    return replace(place, said=said)


def read(data: str | bytes, file: str) -> tuple[Source | None, list[Finding]]:
    """The parsed text, or None, and what is wrong with it as a text."""
    try:
        parsed = source.parse(data)
    except SourceError as error:
        return None, [not_json(Place(file, error.position.line, error.position.column, ""), str(error))]
    return parsed, list(lint_duplicates(whole(file, parsed)))


def not_json(place: Place, message: str, fix: str = "mend the text there") -> Finding:
    """The finding for a text that cannot be parsed, or rendered into one that can."""
    return _finding(rules.of(Subject.TEXT)[0], Hit("", message, fix), lambda _: place, None)


def lint_policies(policies: Sequence[Document], context: Bundle | None = None) -> list[Finding]:
    """Findings of policies. context: what is known about the device that has exactly these; its `policies` are filled in here.

    Without it every policy is judged by itself, and nothing that needs the others is asked.
    """
    findings: list[Finding] = []
    readable = [(document, policy) for document in policies if (policy := lint_policy(document, findings)) is not None]
    if context is None:
        for document, policy in readable:
            findings += _run_bundle(Bundle((policy,)), [document])
    elif readable:
        findings += lint_bundle(readable, context)
    return findings


def lint_policy(document: Document, findings: list[Finding]) -> model.Policy | None:
    """The policy, whose own findings are added; None if there is no policy of AWS IoT to be judged, which is a finding too."""
    if what := documents.oversized(document.text if document.text is not None else _compact(document.value)):
        findings.append(not_json(document.locate(""), what, "give a policy of that size, or split it"))
        return None
    if isinstance(document.value, dict) and (mistaken := documents.iam(document.value)):
        findings.append(_finding(rules.by_id()[mistaken[0]], mistaken[1], document.locate, document.value))
        return None
    policy = model.read(document.value, document.name, document.text)
    with budget.limited(budget.MAXIMUM_LINT):
        findings += _run(rules.of(Subject.POLICY), policy, document)
    return policy


def lint_bundle(members: Sequence[tuple[Document, model.Policy]], context: Bundle) -> list[Finding]:
    """Findings that only policies together give."""
    bundle = context._replace(policies=tuple(policy for _, policy in members))
    return list(_run_bundle(bundle, [document for document, _ in members]))


def lint_template(document: Document, **known: Any) -> list[Finding]:
    """Findings of a provisioning template, and of the policies that are written out in it. known: Template's other fields."""
    from fleetgate.iot_policy import provisioning

    if not isinstance(document.value, dict):
        kind = type(document.value).__name__
        return [not_json(document.locate(""), f"a provisioning template is an object, this is a {kind}", "write an object")]
    text = document.text if document.text is not None else _compact(document.value)
    if len(text) > documents.MAXIMUM_TEXT:
        what = f"is not judged: it has {len(text):,} characters, and AWS IoT takes a template of {provisioning.MAXIMUM_SIZE:,}"
        return [not_json(document.locate(""), what, "give a template of that size")]
    template = provisioning.Template(document.value, len(text.strip()), **known)
    findings = list(_run(rules.of(Subject.TEMPLATE), template, document))
    findings += lint_policies(list(_written_out(template, document, findings)))
    return findings


def _written_out(template: Template, document: Document, findings: list[Finding]) -> Iterator[Document]:
    for resource in template.of("AWS::IoT::Policy"):
        given, base = resource.properties.get("PolicyDocument"), resource.at("PolicyDocument")
        made = template.evaluated(given)  # of what cannot be known, P23 tells
        if made is None:
            continue
        if isinstance(made.value, str):
            written = inner(document, base, made.value, resource.name, findings)
            if written is not None:
                yield written
        elif made.value == given and isinstance(given, dict):
            yield part(document, base, resource.name)
        elif isinstance(made.value, dict):
            yield Document(resource.name, made.value, None, partial(_at, document, base))


def _at(outer: Document, base: Pointer, _: Pointer) -> Place:
    """The place of a whole that has been made, for all of its parts."""
    return outer.locate(base)


def inner(outer: Document, base: Pointer, text: str, name: str, findings: list[Finding]) -> Document | None:
    """The document in a string; one that is not JSON becomes a finding."""
    try:
        parsed = source.parse(text)
    except SourceError as error:
        offset = source.offset_at(text, error.position)
        findings.append(not_json(_inside(outer, base, offset, name), str(error)))
        return None
    document = embedded(outer, base, parsed, name)
    findings += lint_duplicates(document)
    return document


def lint_plan(document: Document) -> tuple[list[Finding], list[str]]:
    """Findings of a Terraform plan, and what could not be looked at because it is known only after apply."""
    from fleetgate.iot_policy import plan as plans

    plan = plans.read(document.value)
    findings = list(_run(rules.of(Subject.PLAN), plan, document))
    notes: list[str] = []
    policies: dict[str, tuple[Document, model.Policy]] = {}
    written_out = [
        *_embedded(plan, document, "aws_iot_policy", "policy", findings, notes),
        *_embedded(plan, document, "awscc_iot_policy", "policy_document", findings, notes),
    ]
    for resource, written in written_out:
        if (policy := lint_policy(written, findings)) is not None:
            policies[resource.address] = (written, policy)
            findings += _run_bundle(Bundle((policy,)), [written])
    findings += _bundles(plan, policies)
    created = _created(plan)
    for resource, body in _embedded(plan, document, "aws_iot_provisioning_template", "template_body", findings, notes):
        findings += lint_template(
            body,
            name=resource.text("name"),
            fleet=resource.text("type") in (None, "FLEET_PROVISIONING"),
            hook=bool(resource.values.get("pre_provisioning_hook")) or "pre_provisioning_hook" in resource.unknown,
            enabled=resource.values.get("enabled") if "enabled" not in resource.unknown else None,
            created=created,
        )
    for resource, body in _embedded(plan, document, "awscc_iot_provisioning_template", "template_body", findings, notes):
        hook = bool(resource.values.get("pre_provisioning_hook")) or "pre_provisioning_hook" in resource.unknown
        findings += lint_template(body, name=resource.text("template_name"), hook=hook)
    return findings, notes


def _embedded(
    plan: Plan, document: Document, type: str, attribute: str, findings: list[Finding], notes: list[str]
) -> Iterator[tuple[Resource, Document]]:
    for resource in plan.of(type):
        text = resource.text(attribute)
        if text is None:
            notes.append(f"{resource.address}: its {attribute} is known only after apply, and was not looked at")
            continue
        found = inner(document, f"{resource.pointer}/{attribute}", text, resource.address, findings)
        if found is not None:
            yield resource, found


def _bundles(plan: Plan, policies: dict[str, tuple[Document, model.Policy]]) -> Iterator[Finding]:
    templates = tuple(name for r in plan.of("aws_iot_provisioning_template") if (name := r.text("name")))
    context = Bundle((), account=plan.account, region=plan.region, templates=templates)
    attached: set[str] = set()
    any_group = any(target.is_group for target in plan.targets)
    for attachments in plan.targets.values():
        known = [policies[a.policy.address] for a in attachments if a.policy and a.policy.address in policies]
        attached.update(a.policy.address for a in attachments if a.policy)
        # Only where every part is in the plan can anything be said to be missing.
        complete = len(known) == len(attachments) and not any_group
        if known:
            yield from lint_bundle(known, context._replace(complete=complete))
    yield from _with_groups(plan, policies, context)
    for address, member in policies.items():
        if address not in attached:
            yield from lint_bundle([member], context)


#: Pairs of a certificate and a thing group that are judged together.
_MAXIMUM_PAIRS = 200


def _with_groups(plan: Plan, policies: dict[str, tuple[Document, model.Policy]], context: Bundle) -> Iterator[Finding]:
    """A certificate's policies and a thing group's, which count together if its thing is in the group: a plan rarely says."""
    known = {
        target: [policies[a.policy.address] for a in attachments if a.policy and a.policy.address in policies]
        for target, attachments in plan.targets.items()
    }
    certificates = [members for target, members in known.items() if members and not target.is_group]
    groups = [members for target, members in known.items() if members and target.is_group]
    for own, shared in islice(product(certificates, groups), _MAXIMUM_PAIRS):
        yield from lint_bundle([*own, *(member for member in shared if member not in own)], context)


def _created(plan: Plan) -> Created:
    from fleetgate.iot_policy.provisioning import Created

    types = {
        "policy": "aws_iot_policy",
        "thing type": "aws_iot_thing_type",
        "thing group": "aws_iot_thing_group",
        "billing group": "aws_iot_billing_group",
    }
    names = {kind: frozenset(filter(None, (r.text("name") for r in plan.of(type)))) for kind, type in types.items()}
    unknown = frozenset(kind for kind, type in types.items() if any(r.text("name") is None for r in plan.of(type)))
    return Created(names["policy"], names["thing type"], names["thing group"], names["billing group"], unknown)


def tidy(findings: Iterable[Finding]) -> list[Finding]:
    """In the order of files and lines, each once: a policy is judged alone and in every bundle, a template for every type."""
    unique: dict[tuple[Any, ...], Finding] = {}
    for finding in findings:
        unique.setdefault((finding.file, finding.line, finding.column, finding.rule, finding.pointer, finding.message), finding)
    return sorted(unique.values(), key=lambda f: (f.file, f.line, f.column, -f.severity, f.rule, f.pointer, f.message))


def lint_duplicates(document: Document) -> Iterator[Finding]:
    """Keys that stand twice, of a document that has a text. Not of a policy that is too large to be judged: they take long."""
    if document.source is None or not document.source.has_duplicates:
        return
    if documents.kind(document.value) is not documents.Kind.POLICY or not documents.oversized(document.source.text):
        yield from _run(rules.of(Subject.TEXT), document.source, document)


def _run(chosen: Iterable[Rule[Any]], subject: Any, document: Document) -> Iterator[Finding]:
    told: set[tuple[str, int, Pointer]] = set()
    for rule in chosen:
        for hit in rule.check(subject):
            if rule.subject is not Subject.POLICY or not _is_told(rule, hit, subject, told):
                yield _finding(rule, hit, document.locate, document.value)


def _run_bundle(bundle: Bundle, members: Sequence[Document]) -> Iterator[Finding]:
    told: set[tuple[str, int, Pointer]] = set()
    for rule in rules.of(Subject.BUNDLE):
        for hit in rule.check(bundle):
            if not _is_told(rule, hit, bundle.policies[hit.policy], told):
                document = members[hit.policy]
                yield _finding(rule, hit, document.locate, document.value)


def _is_told(rule: Rule[Any], hit: Hit, policy: model.Policy, told: set[tuple[str, int, Pointer]]) -> bool:
    """Whether the rule has said something of this resource, which rules see as several since its type has a wildcard."""
    if hit.pointer not in policy.view.several:
        return False
    key = (rule.id, hit.policy, hit.pointer)
    if key in told:
        return True
    told.add(key)
    return False


def _finding(rule: Rule[Any], hit: Hit, locate: Callable[[Pointer], Place], value: Any) -> Finding:
    place = locate(hit.pointer)
    message = f"{place.said}: {hit.message}" if place.said else hit.message
    sid, repeats = _sid(value, hit.pointer)
    return Finding(
        rule.id,
        rule.severity,
        place.file,
        place.line,
        place.column,
        place.pointer,
        message,
        hit.fix,
        hit.witness,
        sid,
        repeats,
    )


def _sid(value: Any, pointer: Pointer) -> tuple[str | None, bool]:
    """Of the statement that a pointer leads into, and whether another statement has the same."""
    parts = pointer.split("/")
    given = value.get("Statement") if isinstance(value, dict) and parts[1:2] == ["Statement"] else None
    statement, others = given, 0
    if isinstance(given, list) and len(parts) > 2 and parts[2].isdigit() and int(parts[2]) < len(given):
        statement = given[int(parts[2])]
    sid = statement.get("Sid") if isinstance(statement, dict) else None
    if not isinstance(sid, str):
        return None, False
    if isinstance(given, list):
        others = sum(1 for other in given if isinstance(other, dict) and other.get("Sid") == sid) - 1
    return sid, others > 0


def _compact(value: Any) -> str:
    import json

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
