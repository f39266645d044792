"""Runs one rule over a document as `lint` would: what the examples of rules are tried with."""

from __future__ import annotations

import json
from typing import Any

from fleetgate.iot_policy import lint, model, plan, provisioning, source
from fleetgate.iot_policy.rule import Bundle, Hit, Rule, Subject


def hits(rule: Rule[Any], example: Any) -> list[Hit]:
    """What a rule finds in an example of its subject."""
    return list(rule.check(_SUBJECTS[rule.subject](example)))


def ids(document: Any, **known: Any) -> list[str]:
    """The ids of everything that is found in a provisioning template."""
    parsed = source.parse(json.dumps(document))
    return [finding.rule for finding in lint.tidy(lint.lint_template(lint.whole("template.json", parsed), **known))]


def _policy(example: Any) -> model.Policy:
    return model.read(example, "example")


def _bundle(example: Any) -> Bundle:
    given = dict(example) if "policies" in example else {"policies": [example]}
    policies = tuple(map(_policy, given.pop("policies")))
    return Bundle(policies, **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _template(example: Any) -> provisioning.Template:
    known = dict(example) if "template" in example else {"template": example}
    body = known.pop("template")
    if "created" in known:
        names = ("policies", "thing_types", "groups", "billing_groups", "unknown")
        known["created"] = provisioning.Created(*(frozenset(known["created"].get(name, ())) for name in names))
    return provisioning.Template(body, len(json.dumps(body)), **known)


_SUBJECTS = {
    Subject.TEXT: source.parse,
    Subject.POLICY: _policy,
    Subject.BUNDLE: _bundle,
    Subject.TEMPLATE: _template,
    Subject.PLAN: plan.read,
}
