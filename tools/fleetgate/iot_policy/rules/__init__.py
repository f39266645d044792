"""Every rule there is, by subject. A module here exposes `RULES`; adding one means adding it to `_MODULES`.

Ids: S structure, A actions, R resources, M MQTT, B breadth, V variables, K conditions, I isolation, P provisioning templates,
N narrow IAM rules on a plan, X suppressions.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from fleetgate.iot_policy.rule import Rule, Subject

#: What each looks at. A run imports only the rules for the documents that it meets.
_MODULES: dict[str, tuple[Subject, ...]] = {
    "text": (Subject.TEXT,),
    "structure": (Subject.POLICY, Subject.BUNDLE),
    "actions": (Subject.POLICY, Subject.BUNDLE),
    "resources": (Subject.POLICY, Subject.BUNDLE),
    "mqtt": (Subject.POLICY, Subject.BUNDLE),
    "breadth": (Subject.POLICY, Subject.BUNDLE),
    "variables": (Subject.POLICY, Subject.BUNDLE),
    "conditions": (Subject.POLICY, Subject.BUNDLE),
    "isolation": (Subject.PLAN, Subject.OTHER),
    "provisioning_template": (Subject.TEMPLATE,),
    "plan": (Subject.PLAN,),
    "suppressions": (Subject.OTHER,),
}


def _rules(module: str) -> tuple[Rule[Any], ...]:
    found: tuple[Rule[Any], ...] = import_module(f"{__name__}.{module}").RULES
    return found


@cache
def all_rules() -> tuple[Rule[Any], ...]:
    """In the order of the catalogue."""
    return tuple(rule for module in _MODULES for rule in _rules(module))


@cache
def of(subject: Subject) -> tuple[Rule[Any], ...]:
    """The rules that look at one kind of document."""
    modules = [module for module, subjects in _MODULES.items() if subject in subjects]
    return tuple(rule for module in modules for rule in _rules(module) if rule.subject is subject)


@cache
def by_id() -> dict[str, Rule[Any]]:
    return {rule.id: rule for rule in all_rules()}
