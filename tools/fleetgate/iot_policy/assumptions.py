"""What AWS leaves open about its policies, each as a switch with a name. Nothing of this is decided silently.

The defaults follow one principle: in doubt a statement does nothing. A doubtful Allow grants nothing that somebody could rely on,
and a doubtful Deny protects nothing. Where the documentation does say something, the default is what it says. For a proof that
devices are kept apart a doubtful Allow is safe only if it counts: there every switch is turned, and those that matter are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any


class JobPrefix(StrEnum):
    """Under which name a policy has to list a job action."""

    EITHER = "either"
    IOT = "iot"
    IOTJOBSDATA = "iotjobsdata"


class SharedSubscription(StrEnum):
    """Which text a policy sees when a client subscribes to `$share/<group>/<filter>`."""

    WHOLE = "whole"
    FILTER = "filter"
    BOTH = "both"


def _switch(default: Any, semantics: str, question: str, default_means: str, otherwise: str) -> Any:
    metadata = {"semantics": semantics, "question": question, "default": default_means, "otherwise": otherwise}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """One switch for each open question; `docs/policy-semantics.md` has the table, made from the metadata here."""

    client_id_wildcards: bool = _switch(
        False,
        "S15",
        "Do `*` and `?` in a substituted client id act as wildcards?",
        "No, they are text. The lint rule V03 warns where it would matter.",
        "Yes: client `*` reaches `topic/d/${iot:ClientId}/x` for every x.",
    )
    exclusive_resolves_all: bool = _switch(
        False,
        "S11",
        "With an exclusive attachment and a client id that is not the thing's name, which thing variables have a value?",
        "ThingName alone; the paragraphs on type, attributes and IsAttached still ask for the thing's name as client id.",
        "All of them: the certificate alone names the thing.",
    )
    https_client_id: bool = _switch(
        False,
        "S10",
        "Has `iot:ClientId` a value over HTTPS?",
        "No: the documentation calls it the id used to connect to the message broker.",
        "Yes, the client id that the request was given.",
    )
    https_is_attached: bool = _switch(
        False,
        "S10",
        "Has `iot:Connection.Thing.IsAttached` a value over HTTPS?",
        "No, like every other thing variable.",
        "Yes: the other thing variables are called MQTT-only by name, this one is not.",
    )
    group_policies_over_https: bool = _switch(
        False,
        "S1, S10",
        "Do the policies of thing groups count over HTTPS?",
        "No: to take effect they need a client id that is the thing's name, and HTTPS has none.",
        "Yes, for an attached certificate. Thing variables still have no value.",
    )
    unresolved_ends_statement: bool = _switch(
        True,
        "S9",
        "A statement lists several resources and one of them has a variable without a value: do the others count?",
        "No: the statement does nothing.",
        "Yes, that resource alone matches nothing. A NotResource still ends the statement.",
    )
    deny_unresolved: bool = _switch(
        False,
        "S9",
        "Does a Deny apply if one of its variables has no value?",
        "No: the statement does nothing.",
        "Yes, with any text in the variable's place: evaluation ends in access denied.",
    )
    deny_unknown_condition: bool = _switch(
        False,
        "K01",
        "Does a Deny apply if its condition cannot be evaluated (unknown operator, a value that is no number, date or address)?",
        "No. In an Allow such a condition is never met, whatever this switch says.",
        "Yes.",
    )
    unsubstituted_matches_itself: bool = _switch(
        True,
        "S12",
        "A certificate's value that is not substituted leaves `${...}` in the policy. Does it match a topic of that text?",
        "Yes, as documented: the text stays.",
        "No: like a variable without a value.",
    )
    missing_certificate_field_is_text: bool = _switch(
        False,
        "S9, S12",
        "A certificate has no such field: is its variable text, as if not substituted?",
        "No: it has no value, the statement does nothing.",
        "Yes; the documentation promises only 'unexpected behavior'.",
    )
    certificate_values_escaped: bool = _switch(
        True,
        "S8",
        "Do `, \" \\ + = < > ;` in a certificate's value come with a backslash before them?",
        "Yes, as the documentation's list of limitations says; not inside of a DirectoryName.",
        "No, values are as they stand in the certificate.",
    )
    list_without_set_operator: bool = _switch(
        False,
        "S16",
        "Can a condition without ForAllValues or ForAnyValue be met by a key that is a list?",
        "No, it cannot be evaluated.",
        "Yes, by one of its values; a negated operator, by all of them.",
    )
    missing_version_knows_variables: bool = _switch(
        False,
        "S02",
        "Are there variables in a policy without Version?",
        "No: IAM reads it as 2008-10-17, in which `${...}` is text.",
        "Yes, as in 2012-10-17.",
    )
    variable_names_ignore_case: bool = _switch(
        False,
        "S8",
        "Is `${iot:clientid}` the variable `iot:ClientId`?",
        "No: it has no value. Keys of conditions never depend on case [IAM condition elements].",
        "Yes.",
    )
    job_prefix: JobPrefix = _switch(  # noqa: RUF009 - it is a field
        JobPrefix.EITHER,
        "S19",
        "Is a job action listed as `iotjobsdata:` or as `iot:`?",
        "Either counts.",
        "`iot` or `iotjobsdata`: only that one counts.",
    )
    shared_subscription: SharedSubscription = _switch(  # noqa: RUF009 - it is a field
        SharedSubscription.WHOLE,
        "S6",
        "Which text does a policy see for the shared subscription `$share/<group>/<filter>`?",
        "All of it, as the client sent it.",
        "`filter`: what follows the group; `both`: either must be allowed, and neither denied.",
    )


DEFAULT = Assumptions()


def switches() -> tuple[Field[Any], ...]:
    """metadata: semantics (the row of the documentation that leaves it open), question, default, otherwise."""
    return fields(Assumptions)


def names() -> tuple[str, ...]:
    return tuple(item.name for item in switches())


def values(assumptions: Assumptions) -> dict[str, str]:
    """Every switch by its name, as `with_value` reads it."""
    return {item.name: str(getattr(assumptions, item.name)).lower() for item in switches()}


def choices(name: str) -> tuple[str, ...]:
    """The values of a switch as texts, its default first. Raises KeyError for an unknown name."""
    default = {item.name: item.default for item in switches()}[name]
    if isinstance(default, bool):
        return ("true", "false") if default else ("false", "true")
    assert isinstance(default, StrEnum)
    return (default.value, *(value.value for value in type(default) if value is not default))


def with_value(assumptions: Assumptions, name: str, text: str) -> Assumptions:
    """One switch set from text, as in `--assume NAME=VALUE`. Raises KeyError for the name, ValueError for the value."""
    possible = choices(name)
    if text not in possible:
        raise ValueError(f"{name} is {' or '.join(possible)}, not {text!r:.40}")
    default = getattr(DEFAULT, name)
    value: Any = text == "true" if isinstance(default, bool) else type(default)(text)
    return replace(assumptions, **{name: value})


def others(assumptions: Assumptions) -> Iterator[tuple[str, str, Assumptions]]:
    """Every set of assumptions that differs in one switch: its name, its other value, the set."""
    for item in switches():
        value = getattr(assumptions, item.name)
        now = str(value).lower()
        for text in choices(item.name):
            if text != now:
                yield item.name, text, with_value(assumptions, item.name, text)


@dataclass(frozen=True, slots=True)
class Turn:
    """A switch on which an answer hangs: with its other value the answer is another one. answer: that one, in a few words."""

    name: str
    value: str
    other: str
    answer: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}: with {self.other}, {self.answer}"

    def as_dict(self) -> dict[str, str]:
        return {"assumption": self.name, "value": self.value, "other": self.other, "answer": self.answer}


def turns(assumptions: Assumptions, answer: Callable[[Assumptions], str]) -> tuple[Turn, ...]:
    """Every switch that alone turns the answer. answer: "" if it stays what it is."""
    now = values(assumptions)
    found = ((name, value, answer(other)) for name, value, other in others(assumptions))
    return tuple(Turn(name, now[name], value, said) for name, value, said in found if said)


def table() -> str:
    """The switches as a Markdown table, for the documentation."""
    rows = ["| switch | default | open question | default means | otherwise | semantics |", "|---|---|---|---|---|---|"]
    for item in switches():
        text = {key: str(value).replace("|", "\\|") for key, value in item.metadata.items()}
        default, *rest = choices(item.name)
        switch = f"`{item.name}`: {', '.join(f'`{value}`' for value in (default, *rest))}"
        rows.append(
            f"| {switch} | `{default}` | {text['question']} | {text['default']} | {text['otherwise']} | {text['semantics']} |"
        )
    return "\n".join(rows) + "\n"
