"""What a lint rule is: an id, why it matters, where that is written, a failing and a passing example, and one function.

A module of `rules/` is one subject. It decorates its functions and lists them:

    @rule(id="A04", title=..., severity=Severity.CRITICAL, why=..., source=..., fails={...}, passes={...})
    def every_action(policy: Policy) -> Iterator[Hit]:
        ...

    RULES = (every_action, ...)

A rule sees a document and yields hits; it knows no file. `lint` runs it and turns its hits into findings with a place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from fleetgate.iot_policy.model import Policy
    from fleetgate.iot_policy.source import Pointer

SubjectT = TypeVar("SubjectT")


class Severity(IntEnum):
    """Ordered: `severity >= Severity.MEDIUM`."""

    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    def __str__(self) -> str:
        return self.name.lower()


class Subject(StrEnum):
    """What a rule looks at, and so what its check is given and its examples are.

    TEXT: a text that should be JSON; examples are texts. POLICY: a model.Policy; examples are policy documents. BUNDLE: a Bundle;
    examples are policy documents, or {"policies": [document, ...]} with Bundle's other fields beside it. TEMPLATE: a
    provisioning template; examples are template bodies. PLAN: a Terraform plan; examples are the JSON of a plan. OTHER: told by
    lint itself and not by a check; examples are None.
    """

    TEXT = "text"
    POLICY = "policy"
    BUNDLE = "bundle"
    TEMPLATE = "template"
    PLAN = "plan"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing a rule has found. witness: the client id, topic, filter or name that shows the harm, where there is one.

    policy: of a bundle's rule, which of its policies the pointer points into.
    """

    pointer: Pointer
    message: str
    fix: str
    witness: str | None = None
    policy: int = 0


class Bundle(NamedTuple):
    """Policies that act together on one device, and what is known about where they are deployed.

    complete: these are all the policies of that device (a plan's attachments, a device type of the catalogue); of a policy file
    by itself nobody knows. claim: a claim certificate has them (True), a device (False), or nobody knows (None). account, region:
    where they are deployed to, if that is known. templates: names of the provisioning templates to register with.
    """

    policies: tuple[Policy, ...]
    complete: bool = False
    claim: bool | None = None
    account: str | None = None
    region: str | None = None
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule(Generic[SubjectT]):
    """why: two sentences a developer understands. source: an address or the name of the document that says so.

    fails and passes: JSON values, the whole document, of which the first has this finding and the second has not. They are tests.
    """

    id: str
    title: str
    severity: Severity
    why: str
    source: str
    fails: Any
    passes: Any
    check: Callable[[SubjectT], Iterator[Hit]]
    subject: Subject = Subject.POLICY

    @property
    def address(self) -> str | None:
        """Of the source, as a URL."""
        return next((word.rstrip(",;.") for word in self.source.split() if word.startswith("https://")), None)


def rule(
    *,
    id: str,
    title: str,
    severity: Severity,
    why: str,
    source: str,
    fails: Any,
    passes: Any,
    subject: Subject = Subject.POLICY,
) -> Callable[[Callable[[SubjectT], Iterator[Hit]]], Rule[SubjectT]]:
    """Makes a rule of a function that yields hits."""

    def made(check: Callable[[SubjectT], Iterator[Hit]]) -> Rule[SubjectT]:
        return Rule(id, title, severity, why, source, fails, passes, check, subject)

    return made
