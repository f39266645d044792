"""Why a device is not in: facts, findings, and the order in which they stand in the way. Pure; `diagnosis_facts` looks them up.

A device's way is a chain, and each link is judged by small checks in `diagnosis_checks`. What comes first in the chain is first
in the way, except for what only follows from something else: a lease that still runs because a thing group is gone is told after
the group.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from fleetgate.device_view import Certificate
from fleetgate.errors import fail, printable
from fleetgate.registry import Row, status_of

#: AWS keeps so many versions of a provisioning template.
MAXIMUM_TEMPLATE_VERSIONS = 5
#: AWS gives the hook 5 seconds and then applies the template. What is younger than this may simply be under way.
SETTLE_MS = 15_000


class Stage(StrEnum):
    """The links of the chain, in the order in which a device passes them; the answer it got comes before all."""

    ANSWER = "answer"
    CLAIM = "claim"
    TEMPLATE = "template"
    HOOK = "hook"
    REGISTRY = "registry"
    CERTIFICATE = "certificate"
    THING = "thing"
    GROUPS = "groups"
    POLICY = "policy"
    CONNECTION = "connection"
    SHADOW = "shadow"


class Cause(StrEnum):
    """Programs read these, so they must not change lightly. Each has a test that produces it."""

    THROTTLED = "throttled"
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - the name of a cause
    SERVICE_FAILED = "service_failed"
    UNEXPLAINED = "unexplained"
    CLAIM_MISSING = "claim_missing"
    CLAIM_INACTIVE = "claim_inactive"
    CLAIM_UNKNOWN = "claim_unknown"
    CLAIM_POLICY_MISSING = "claim_policy_missing"
    CLAIM_POLICY_WRONG = "claim_policy_wrong"
    TEMPLATE_MISSING = "template_missing"
    TEMPLATE_DISABLED = "template_disabled"
    TEMPLATE_CHANGED = "template_changed"
    TEMPLATE_OUT_OF_VERSIONS = "template_out_of_versions"
    HOOK_MISSING = "hook_missing"
    HOOK_NOT_ASKED = "hook_not_asked"
    HOOK_NOT_CALLABLE = "hook_not_callable"
    HOOK_THROTTLED = "hook_throttled"
    HOOK_LACKS_PERMISSION = "hook_lacks_permission"
    HOOK_TIMED_OUT = "hook_timed_out"
    HOOK_CRASHED = "hook_crashed"
    HOOK_DENIED = "hook_denied"
    ROW_MISSING = "row_missing"
    ROW_REVOKED = "row_revoked"
    TYPE_UNKNOWN = "type_unknown"
    LEASE_RUNNING = "lease_running"
    CERTIFICATE_MISSING = "certificate_missing"
    CERTIFICATE_PENDING = "certificate_pending"
    CERTIFICATE_INACTIVE = "certificate_inactive"
    CERTIFICATE_UNATTACHED = "certificate_unattached"
    THING_TYPE_MISSING = "thing_type_missing"
    THING_MISSING = "thing_missing"
    ROLE_LACKS_PERMISSION = "role_lacks_permission"
    REGISTRATION_FAILED = "registration_failed"
    GROUP_MISSING = "group_missing"
    NOT_IN_GROUP = "not_in_group"
    POLICY_MISSING = "policy_missing"
    POLICY_NOT_ATTACHED = "policy_not_attached"
    POLICY_CHANGED = "policy_changed"
    NEVER_CONNECTED = "never_connected"
    NOT_CONNECTED = "not_connected"
    NOT_ONBOARDED = "not_onboarded"
    SHADOW_MISSING = "shadow_missing"


#: What mostly follows from another finding, and is told after those that do not.
_SYMPTOMS = (
    Cause.LEASE_RUNNING,
    Cause.CERTIFICATE_PENDING,
    Cause.REGISTRATION_FAILED,
    Cause.NEVER_CONNECTED,
    Cause.NOT_CONNECTED,
    Cause.UNEXPLAINED,
)


class Look(StrEnum):
    """What is looked up for a diagnosis, each by calls of its own, along the chain. People and programs read these."""

    CLAIMS = "claims"
    CLAIM_POLICY = "claim policy"
    TEMPLATE = "template"
    PROVISIONING_ROLE = "provisioning role"
    HOOK = "hook"
    HOOK_LOG = "hook log"
    HOOK_CONCURRENCY = "hook concurrency"
    HOOK_METRICS = "hook metrics"
    HOOK_PERMISSION = "hook permission"
    HOOK_ROLE = "hook role"
    REGISTRY = "registry"
    SIMILAR_SERIALS = "similar serials"
    CERTIFICATES = "certificates"
    THING = "thing"
    THING_TYPE = "thing type"
    GROUP = "group"
    THING_GROUPS = "thing groups"
    POLICY = "policy"
    CONNECTION = "connection"
    SHADOW = "shadow"
    DEAD_LETTERS = "dead letters"


#: What only helps to name things; nothing is in a device's way that this would have shown.
_BESIDE = frozenset({Look.DEAD_LETTERS, Look.SIMILAR_SERIALS})
#: What a device passes once: of no matter for one that is in.
_GATE = frozenset(
    {
        Look.CLAIMS,
        Look.CLAIM_POLICY,
        Look.TEMPLATE,
        Look.PROVISIONING_ROLE,
        Look.HOOK,
        Look.HOOK_CONCURRENCY,
        Look.HOOK_METRICS,
        Look.HOOK_PERMISSION,
        Look.HOOK_ROLE,
        Look.THING_TYPE,
    }
)


@dataclass(frozen=True)
class Message:
    """What the provisioning service answered a device with. Its status counts; AWS lists no codes for the text."""

    status: int
    code: str
    text: str


def read_message(text: str, where: str) -> Message:
    """The body of a message on a `…/rejected` topic. Raises FleetgateError for anything else."""
    remedy = 'give what came on the topic …/rejected: {"statusCode": 403, "errorCode": "…", "errorMessage": "…"}'
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise fail(where, "is not JSON", remedy) from None
    status = body.get("statusCode") if isinstance(body, dict) else None
    if not isinstance(status, int) or isinstance(status, bool):
        raise fail(where, "holds no statusCode", remedy)
    code, said = (str(body.get(name) or "")[:300] for name in ("errorCode", "errorMessage"))
    return Message(status, printable(code), printable(said))


@dataclass(frozen=True)
class Claim:
    """A claim certificate. name: None if nothing here tells it. status: None if AWS does not have the certificate.

    is_retired_here: whether the environment's file says `active: false`, applied or not.
    """

    certificate_id: str
    name: str | None = None
    status: str | None = None
    policies: tuple[str, ...] = ()
    is_retired_here: bool = False

    @property
    def label(self) -> str:
        return self.name or f"{self.certificate_id[:12]}..."


@dataclass(frozen=True)
class Policy:
    """An IoT policy. is_rendered: whether its default version is what this checkout renders."""

    name: str
    is_there: bool
    is_rendered: bool = True


@dataclass(frozen=True)
class Template:
    name: str
    is_there: bool
    is_enabled: bool = True
    is_rendered: bool = True
    versions: int = 1
    hook_arn: str = ""
    #: Of the permissions that the template's role needs those it lacks; None: cannot be told.
    role_lacks: tuple[str, ...] | None = ()


@dataclass(frozen=True)
class Failure:
    """A call of the hook that ended without a decision. is_over: the hook has decided something since."""

    cause: Cause
    at: str
    at_ms: int
    text: str
    is_over: bool = False


@dataclass(frozen=True)
class Throttled:
    """The last minute in which Lambda turned calls of the hook away, and whether it has decided something since."""

    at: str
    at_ms: int
    is_over: bool = False


@dataclass(frozen=True)
class Hook:
    """claims: the certificate ids of the claims that it takes, None if unknown. reserved: its concurrency, if limited.

    is_callable: whether AWS IoT may invoke it for the template.
    """

    name: str
    is_there: bool
    arn: str = ""
    claims: frozenset[str] | None = None
    is_callable: bool | None = True
    reserved: int | None = None
    throttled: Throttled | None = None
    may_write: bool | None = True
    failure: Failure | None = None


@dataclass(frozen=True)
class Kind:
    """The device type, as the catalogue has it and as it is deployed. thing_type_state: there, deprecated or missing."""

    name: str
    thing_type: str
    group: str
    open_enrolment: bool
    policy: Policy
    thing_type_state: str = "there"
    has_group: bool = True


@dataclass(frozen=True)
class Thing:
    name: str
    thing_type: str | None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that the checks may go by. unseen: what could not be looked at, and why. untold: those of them that
    the embedded cloud has no answer for, whoever asks.

    decisions: of the hook about this serial, as `decisions.explain` has them, newest last. used_claims: ids of claims that are
    this device's: named by who asks, by the newest decision, or by the row. iot_log: what AWS IoT's log says of its certificate.
    initial_shadow: what the type's devices begin with. near: serials that may have been meant. active_claims: those of the
    environment's file, with the id of the certificate that lies here, or "".
    """

    env: str
    now_ms: int
    serial: str | None = None
    thing_name: str | None = None
    message: Message | None = None
    claims: tuple[Claim, ...] = ()
    used_claims: frozenset[str] = frozenset()
    active_claims: Mapping[str, str] = field(default_factory=dict)
    claim_policy: Policy = Policy("", True)
    template: Template = Template("", True)
    hook: Hook = Hook("", True)
    decisions: tuple[Mapping[str, Any], ...] = ()
    row: Row | None = None
    near: tuple[str, ...] = ()
    kind: Kind | None = None
    certificates: tuple[Certificate, ...] = ()
    thing: Thing | None = None
    connection: Mapping[str, Any] | None = None
    has_shadow: bool = False
    initial_shadow: str = "{}"
    dead_letters: int | None = None
    iot_log: tuple[str, ...] = ()
    unseen: Mapping[Look, str] = field(default_factory=dict)
    untold: frozenset[Look] = frozenset()

    @property
    def status(self) -> str | None:
        return status_of(self.row) if self.row is not None else None

    @property
    def certificate(self) -> Certificate | None:
        """The one that counts: the row's, or else the thing's."""
        return next((c for c in self.certificates if c.is_in_registry), next(iter(self.certificates), None))

    @property
    def decision(self) -> Mapping[str, Any] | None:
        return self.decisions[-1] if self.decisions else None

    @property
    def is_in(self) -> bool:
        """Whether the device has what the gate gives: then the gate's troubles are not its own."""
        return self.thing is not None and any(c.is_attached for c in self.certificates)

    @property
    def needs_gate(self) -> bool:
        """Whether it still has to come in, or somebody has just tried to with its serial number."""
        refused = self.decision is not None and not self.decision["allowed"]
        return not self.is_in or self.message is not None or refused

    def sees(self, *looks: Look) -> bool:
        return not any(look in self.unseen for look in looks)


@dataclass(frozen=True)
class Finding:
    """blocks: whether it is in this device's way; otherwise it is worth knowing. next_step: a command, or what to do."""

    stage: Stage
    cause: Cause
    what: str
    next_step: str
    evidence: str = ""
    blocks: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "blocks": self.blocks,
            "cause": self.cause.value,
            "evidence": self.evidence,
            "nextStep": self.next_step,
            "stage": self.stage.value,
            "what": self.what,
        }


class State(StrEnum):
    OK = "ok"
    CAUSE = "cause"
    NOT_REACHED = "not reached"
    NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True)
class Link:
    """One stage of a device's chain. seen: what is there, in a line."""

    stage: Stage
    state: State
    seen: str

    def to_json(self) -> dict[str, Any]:
        return {"seen": self.seen, "stage": self.stage.value, "state": self.state.value}


@dataclass(frozen=True)
class Diagnosis:
    """causes: what is in the way, first things first. notes: what is not, and is worth knowing."""

    facts: Facts
    chain: tuple[Link, ...]
    causes: tuple[Finding, ...]
    notes: tuple[Finding, ...]

    @property
    def hidden(self) -> tuple[Look, ...]:
        """What on this device's way was not looked at: there a cause may lie that nobody saw."""
        facts = self.facts
        beside = {*_BESIDE, *facts.untold, *(() if facts.needs_gate else _GATE)}
        return tuple(sorted(facts.unseen.keys() - beside))

    @property
    def is_healthy(self) -> bool | None:
        """None if it cannot be said: no cause was found, and not everything on its way could be looked at."""
        if self.causes:
            return False
        return None if self.hidden else True

    @property
    def came_as_far_as(self) -> Stage | None:
        """The last link before the first that is not in order."""
        last = None
        for link in self.chain:
            if link.stage is Stage.ANSWER:
                continue
            if link.state in (State.CAUSE, State.NOT_REACHED):
                break
            if link.state is State.OK:
                last = link.stage
        return last

    def to_json(self) -> dict[str, Any]:
        return {
            "cameAsFarAs": self.came_as_far_as.value if self.came_as_far_as else None,
            "causes": [finding.to_json() for finding in self.causes],
            "chain": [link.to_json() for link in self.chain],
            "healthy": self.is_healthy,
            "notLookedAt": dict(sorted(self.facts.unseen.items())),
            "notes": [finding.to_json() for finding in self.notes],
            "serialNumber": self.facts.serial,
            "thingName": self.facts.thing_name,
        }


@dataclass(frozen=True)
class Part:
    """A stage with its checks. see: what there is, in a line, None if the device is not there yet. looks: what it goes by."""

    stage: Stage
    see: Callable[[Facts], str | None]
    checks: tuple[Callable[[Facts], Iterable[Finding]], ...]
    looks: tuple[Look, ...]


def diagnose(facts: Facts, parts: Iterable[Part]) -> Diagnosis:
    """Runs the checks and puts first what is first in the way."""
    order = list(Stage)
    parts = list(parts)
    found = [finding for part in parts for check in part.checks for finding in check(facts)]
    causes = [finding for finding in found if finding.blocks]
    roots = [finding for finding in causes if finding.cause not in _SYMPTOMS]
    if roots:  # a failed registration is explained by what made it fail
        causes = [f for f in causes if f.cause not in (Cause.REGISTRATION_FAILED, Cause.UNEXPLAINED)]
    causes.sort(key=lambda finding: (finding.cause in _SYMPTOMS, order.index(finding.stage)))
    chain = tuple(_link(facts, p, causes) for p in parts if p.stage is not Stage.ANSWER or facts.message is not None)
    return Diagnosis(facts, chain, tuple(causes), tuple(finding for finding in found if not finding.blocks))


def _link(facts: Facts, part: Part, causes: list[Finding]) -> Link:
    own = [finding for finding in causes if finding.stage is part.stage]
    if own:
        return Link(part.stage, State.CAUSE, "; ".join(finding.what for finding in own))
    missing = [look for look in part.looks if look in facts.unseen]
    if missing:
        return Link(part.stage, State.NOT_LOOKED_AT, "; ".join(f"{look}: {facts.unseen[look]}" for look in missing))
    seen = part.see(facts)
    return Link(part.stage, State.NOT_REACHED if seen is None else State.OK, seen or "")


def note(finding: Finding) -> Finding:
    """The same, as something that is not in this device's way."""
    return replace(finding, blocks=False)
