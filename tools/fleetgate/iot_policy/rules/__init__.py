"""Every rule there is, by subject. A module here exposes `RULES`; adding one means adding it to `_MODULES`.

Ids: S structure, A actions, R resources, M MQTT, B breadth, V variables, K conditions, I isolation, P provisioning templates,
N narrow IAM rules on a plan, X suppressions.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from fleetgate.iot_policy.rule import Rule, Subject

_MODULES = (
    "text",
    "structure",
    "actions",
    "resources",
    "mqtt",
    "breadth",
    "variables",
    "conditions",
    "isolation",
    "provisioning_template",
    "plan",
    "suppressions",
)


@cache
def all_rules() -> tuple[Rule[Any], ...]:
    """In the order of the catalogue."""
    import importlib.util  # TEMPORARY until all modules are there

    names = [n for n in _MODULES if importlib.util.find_spec(f"{__name__}.{n}")]
    return tuple(rule for name in names for rule in import_module(f"{__name__}.{name}").RULES)


@cache
def of(subject: Subject) -> tuple[Rule[Any], ...]:
    """The rules that look at one kind of document."""
    return tuple(rule for rule in all_rules() if rule.subject is subject)


@cache
def by_id() -> dict[str, Rule[Any]]:
    return {rule.id: rule for rule in all_rules()}
