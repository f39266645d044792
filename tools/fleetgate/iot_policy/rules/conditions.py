"""K: conditions that never hold, or hold when nobody meant them to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from fleetgate.iot_policy import conditions, pattern, variables, view
from fleetgate.iot_policy.conditions import Operator
from fleetgate.iot_policy.model import Condition, Policy, Statement, split_arn
from fleetgate.iot_policy.rule import Hit, Severity, rule
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, policy

_OPERATORS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"
_SETS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html"
_THING = "https://docs.aws.amazon.com/iot/latest/developerguide/thing-policy-variables.html"
_PUBLISH = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/state")
_CONNECT_FEATURES = ("PersistentConnect", "LastWill")
#: Of IAM's jobs data plane: it is not documented whether a device's policy knows it.
_JOB_ID = "iot:jobid"
#: Keys of every service, tags with a slash behind them: the table of the page that `_global` names, of 2026, but for those of
#: other services (`ec2:`, `glue:`).
_GLOBAL = """
AssumedRoot CalledVia CalledViaAWSMCP CalledViaFirst CalledViaLast ChatbotSourceArn CurrentTime Ec2InstanceSourcePrivateIPv4
Ec2InstanceSourceVpc EpochTime FederatedProvider IsMcpServiceAction MultiFactorAuthAge MultiFactorAuthPresent PrincipalAccount
PrincipalArn PrincipalIsAWSService PrincipalOrgID PrincipalOrgPaths PrincipalServiceName PrincipalServiceNamesList PrincipalTag/
PrincipalType referer RequestedRegion RequestTag/ ResourceAccount ResourceOrgID ResourceOrgPaths ResourceTag/ SecureTransport
SignInSessionArn SourceAccount SourceArn SourceIdentity SourceIp SourceOrgID SourceOrgPaths SourceVpc SourceVpcArn SourceVpce
TagKeys TokenIssueTime UserAgent userid username ViaAWSMCPService ViaAWSService VpceAccount VpceOrgID VpceOrgPaths VpcSourceIp
"""
_GLOBAL_KEYS = {f"aws:{name}".lower(): f"aws:{name}" for name in _GLOBAL.split()}


@rule(
    id="K01",
    title="A condition that can never be met",
    severity=Severity.HIGH,
    why="An operator or key that AWS does not know, or a value that the operator cannot compare, is never met: an Allow with"
    " it is dead, a Deny with it stands open.",
    source=_OPERATORS,
    fails=policy(allow("iot:Connect", f"{ARN}:client/press-7", Bool={"iot:Thing.IsAttached": "true"})),
    passes=policy(CONNECT),
)
def never_met(document: Policy) -> Iterator[Hit]:
    for statement in document.view.conditioned:
        for condition in statement.conditions:
            found = _unusable(statement, condition)
            if found is not None:
                yield Hit(condition.pointer, found[0], found[1])


def _unusable(statement: Statement, condition: Condition) -> tuple[str, str] | None:
    """What is wrong and how to write it."""
    operator = conditions.operator(condition.operator)
    if operator is None:
        return f"there is no operator {condition.operator:.60}", f"write {_nearest(condition.operator) or 'StringEquals or Bool'}"
    key = variables.canonical(condition.key)
    if key.startswith(view.OF_A_ROLE):
        return None
    known = variables.known(key) is not None or key in variables.CONNECT_KEYS or key.lower() == _JOB_ID
    near = None if known else _global(key.lower()) if key.lower().startswith("aws:") else _meant(key)
    if near is not None:
        return f"there is no key {condition.key:.100}", f"write {near}"
    if not condition.values and operator.quantifier != conditions.FOR_ALL:
        return f"{condition.operator} on {key:.100} has no value to be met by", "name at least one"
    if key in variables.CONNECT_KEYS and view.CONNECT not in view.known(statement).names:
        return f"{key} is a key of iot:Connect only", "put it into the statement that allows iot:Connect"
    for value in condition.values:
        wrong = _wrong_value(operator, key, value.text)
        if wrong is not None:
            return f"{condition.operator} on {key} cannot be met by {value.text!r:.80}", wrong
    return None


def _meant(key: str) -> str:
    return variables.nearest(key) or variables.IS_ATTACHED


@lru_cache(maxsize=1024)
def _global(key: str) -> str | None:
    """The key of every service that was probably meant. None of one that is known or near none: AWS adds keys of its own.

    [https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html]
    """
    import difflib

    name, slash, _ = key.partition("/")
    if name + slash in _GLOBAL_KEYS:
        return None
    close = difflib.get_close_matches(name + slash, _GLOBAL_KEYS, n=1, cutoff=0.85)
    return _GLOBAL_KEYS[close[0]] if close else None


@lru_cache(maxsize=1024)
def _nearest(text: str) -> str | None:
    import difflib

    names = {name.lower(): name for name in conditions.OPERATORS}
    prefix, colon, base = text.rpartition(":")
    close = difflib.get_close_matches(base.lower(), names, n=1, cutoff=0.7)
    quantifier = conditions.FOR_ANY if "any" in prefix.lower() else conditions.FOR_ALL
    return f"{quantifier}:{names[close[0]]}" if close and colon else names[close[0]] if close else None


@lru_cache(maxsize=4096)
def _wrong_value(operator: Operator, key: str, value: str) -> str | None:
    """How to mend a value that this operator, or this key, can make nothing of. A variable may be anything."""
    base = conditions.NEGATED.get(operator.base, operator.base)
    if "${" in value and pattern.parse(value).variables:
        return None
    boolean = value.lower() in ("true", "false")
    if base in ("Bool", conditions.NULL) and not boolean:
        return 'write "true" or "false"'
    if base == "Bool" and key.startswith("iot:") and key != variables.IS_ATTACHED:
        return f"use StringEquals: {key} is a text"
    if key == variables.IS_ATTACHED and not boolean:
        return 'use Bool, with "true"'
    if base.startswith("Numeric") and key.startswith("iot:"):
        return f"use StringEquals: {key} is a text"
    if base == "IpAddress" and key.startswith("iot:"):
        return f"use {variables.SOURCE_IP}"
    if base != conditions.NULL and conditions.COMPARE[base]("", value, lambda _: None, True) is None:
        return _FORMS[base[:4]]
    if base.startswith("Arn") and "*" not in value and len(split_arn(value)) != 6:
        return "write a whole ARN, of six parts"
    if key == variables.LAST_WILL_TOPIC and base != conditions.NULL and not value.startswith(("arn:", "*")):
        return "write the whole ARN of the topic"
    if key == variables.CONNECT_ATTRIBUTES and base in ("StringEquals", "StringLike") and value not in _CONNECT_FEATURES:
        near = [name for name in _CONNECT_FEATURES if name.lower() == value.lower()]
        return f"write {near[0]}" if near else None
    return None


#: How to write what an operator can compare, by its first letters.
_FORMS = {
    "Bool": 'write "true" or "false"',
    "Date": "write a date, like 2027-06-30T00:00:00Z",
    "IpAd": "write an address range, like 203.0.113.0/24",
    "Nume": "write a number",
}


@rule(
    id="K02",
    title="ForAllValues is met by nothing at all",
    severity=Severity.MEDIUM,
    why="ForAllValues holds also if the key has no value: a certificate without the field, a connection without those features.",
    source=_SETS,
    fails=policy(
        CONNECT,
        allow(
            "iot:Publish",
            f"{ARN}:topic/plant/{THING}/state",
            **{"ForAllValues:StringEquals": {"iot:Certificate.Subject.Organization.List": ["Plant Ltd"]}},
        ),
    ),
    passes=policy(
        CONNECT,
        allow(
            "iot:Publish",
            f"{ARN}:topic/plant/{THING}/state",
            **{"ForAnyValue:StringEquals": {"iot:Certificate.Subject.Organization.List": ["Plant Ltd"]}},
        ),
    ),
)
def for_all(document: Policy) -> Iterator[Hit]:
    """An empty list asks for nothing at all, which is then what is meant."""
    for statement in document.view.conditioned:
        for condition in statement.conditions:
            operator = conditions.operator(condition.operator)
            if (
                operator is None
                or operator.quantifier != conditions.FOR_ALL
                or not condition.values
                or _exists(statement, condition)
            ):
                continue
            fix = f'add "Null": {{"{condition.key}": "false"}}, or use ForAnyValue'
            yield Hit(condition.pointer, f"{condition.operator} on {condition.key:.100} is met if there is none", fix)


def _exists(statement: Statement, condition: Condition) -> bool:
    """Whether another condition of the statement asks for the same key to be there."""
    for other in statement.conditions:
        operator = conditions.operator(other.operator)
        if other.key.lower() != condition.key.lower() or operator is None:
            continue
        wanted = [value.text.lower() for value in other.values]
        if operator.quantifier == conditions.FOR_ANY or (operator.base == conditions.NULL and wanted == ["false"]):
            return True
    return False


@rule(
    id="K03",
    title="Allowed to whoever is not attached",
    severity=Severity.HIGH,
    why="IsAttached is false for a certificate that belongs to no thing of that name. This statement lets just those in.",
    source=_THING,
    fails=policy(allow("iot:Connect", f"{ARN}:client/press-7", Bool={"iot:Connection.Thing.IsAttached": "false"})),
    passes=policy(CONNECT, _PUBLISH),
)
def strangers(document: Policy) -> Iterator[Hit]:
    for statement in document.view.conditioned:
        for condition in statement.conditions if statement.allow else ():
            operator = conditions.operator(condition.operator)
            if (
                operator is None
                or variables.canonical(condition.key) != variables.IS_ATTACHED
                or operator.base == conditions.NULL
            ):
                continue
            values = {value.text.lower() for value in condition.values}
            if ("true" if operator.negated else "false") in values:
                yield Hit(condition.pointer, "holds for certificates that are attached to no such thing", 'write "true"')


RULES = (never_met, for_all, strangers)
