"""A second evaluator that shares nothing with the first: slow, one character at a time, straight from the semantics.

It takes documents as parsed JSON, and knows all assumptions, of the operators StringEquals, StringLike, their negations, Bool and
Null, with quantifiers and IfExists.
"""

from __future__ import annotations

from typing import Any

THING = "iot:Connection.Thing."
MQTT_ONLY_NOT = {"iot:GetThingShadow", "iot:UpdateJobExecution", "iotjobsdata:UpdateJobExecution"}


class NoValue(Exception):
    """A variable has none."""


def decide(policies: list[Any], groups: list[Any], action: str, resource: str, who: Any, assume: Any) -> str:
    """ALLOWED, EXPLICIT_DENY or IMPLICIT_DENY."""
    texts = [resource]
    before, _, text = resource.partition(":topicfilter/")
    parts = text.split("/")
    if action == "iot:Subscribe" and parts[0] == "$share" and len(parts) > 2:
        inner = before + ":topicfilter/" + "/".join(parts[2:])
        texts = {"whole": [resource], "filter": [inner], "both": [resource, inner]}[str(assume.shared_subscription)]
    answers = [decide_text(policies, groups, action, one, who, assume) for one in texts]
    for answer in ("EXPLICIT_DENY", "IMPLICIT_DENY"):
        if answer in answers:
            return answer
    return "ALLOWED"


def decide_text(policies: list[Any], groups: list[Any], action: str, resource: str, who: Any, assume: Any) -> str:
    https = who.protocol == "https" or action in MQTT_ONLY_NOT
    matched = who.attached and who.thing_name and who.client_id == who.thing_name
    exclusive = who.attached and who.thing_name and who.exclusive
    full = matched or (exclusive and assume.exclusive_resolves_all)
    counted = list(policies)
    if (https and who.attached and who.thing_name and assume.group_policies_over_https) or (not https and full):
        counted += groups
    effects = {
        statement["Effect"]
        for policy in counted
        for statement in policy["Statement"]
        if applies(policy.get("Version"), statement, action, resource, https, full, exclusive, who, assume)
    }
    return "EXPLICIT_DENY" if "Deny" in effects else "ALLOWED" if "Allow" in effects else "IMPLICIT_DENY"


def applies(
    version: str | None,
    statement: Any,
    action: str,
    resource: str,
    https: bool,
    full: bool,
    exclusive: bool,
    who: Any,
    assume: Any,
) -> bool:
    deny = statement["Effect"] == "Deny"
    variables = version == "2012-10-17" or (version is None and assume.missing_version_knows_variables)

    def value(name: str) -> Any:
        return value_of(name, https, full, exclusive, who, assume)

    names = [action]
    short = action.partition(":")[2]
    if short == "UpdateJobExecution":
        both = {"iot": "iot:" + short, "iotjobsdata": "iotjobsdata:" + short}
        names = list(both.values()) if str(assume.job_prefix) == "either" else [both[str(assume.job_prefix)]]
    listed = statement.get("Action", statement.get("NotAction"))
    named = any(match([(c, c in "*?") for c in wanted.lower()], name.lower()) for wanted in listed for name in names)
    if named == ("NotAction" in statement):
        return False

    negated = "NotResource" in statement
    found = False
    for wanted in statement.get("Resource", statement.get("NotResource")):
        try:
            found = match(expand(wanted, variables, value, assume), resource) or found
        except NoValue:
            if deny and assume.deny_unresolved:
                if not negated:
                    found = match(expand(wanted, variables, value, assume, anything=True), resource) or found
            elif negated or assume.unresolved_ends_statement:
                return False
    if found == negated:
        return False

    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            try:
                met = meets(operator, key, values, variables, value, assume)
            except NoValue:
                met = deny and assume.deny_unresolved
            if met is None:
                met = deny and assume.deny_unknown_condition
            if not met:
                return False
    return True


def value_of(name: str, https: bool, full: bool, exclusive: bool, who: Any, assume: Any) -> Any:
    """A text, a list, or None."""
    if name == "iot:ClientId":
        return (who.client_id or None) if not https or assume.https_client_id else None
    if name == THING + "ThingName":
        return who.thing_name if not https and (full or exclusive) else None
    if name == THING + "ThingTypeName":
        return who.thing_type if not https and full else None
    if name == THING + "IsAttached":
        if https:
            return ("true" if who.attached and who.thing_name else "false") if assume.https_is_attached else None
        return "true" if full else None if exclusive else "false"
    if name.startswith(THING + "Attributes["):
        return who.attributes.get(name[len(THING + "Attributes[") : -1]) if not https and full else None
    if name.startswith("iot:Certificate."):
        field = name[len("iot:Certificate.") :]
        several = field.endswith(".List")
        given = who.certificate.get(field.removesuffix(".List"))
        if given is None:
            return None
        given = [given] if isinstance(given, str) else list(given)[:5]
        if assume.certificate_values_escaped:
            given = ["".join("\\" + c if c in ',"\\+=<>;' else c for c in one) for one in given]
        return given if several else given[0]
    return None


def expand(wanted: str, variables: bool, value: Any, assume: Any, *, anything: bool = False) -> list[tuple[str, bool]]:
    """Characters, each with whether it is a wildcard."""
    result: list[tuple[str, bool]] = []
    at = 0
    while at < len(wanted):
        end = wanted.find("}", at)
        if variables and wanted.startswith("${", at) and end > 0:
            name = wanted[at + 2 : end]
            at = end + 1
            if name in ("*", "?", "$"):
                result.append((name, False))
                continue
            text = substitute(name, value, assume)
            if text is not None:
                wild = name.lower() == "iot:clientid" and assume.client_id_wildcards
                result += [(c, wild and c in "*?") for c in text]
            elif anything:
                result.append(("*", True))
            else:
                raise NoValue(name)
        else:
            result.append((wanted[at], wanted[at] in "*?"))
            at += 1
    return result


def substitute(name: str, value: Any, assume: Any) -> str | None:
    if assume.variable_names_ignore_case:
        name = {"iot:clientid": "iot:ClientId"}.get(name.lower(), name)
    found = value(name)
    as_text = "${" + name + "}"
    if isinstance(found, list):
        return None
    if name.startswith("iot:Certificate.") and not name.endswith(".List"):
        if found is None:
            return as_text if assume.missing_certificate_field_is_text else None
        if any(c in found for c in "*$+?#"):
            return as_text if assume.unsubstituted_matches_itself else None
    return found


def match(wanted: list[tuple[str, bool]], text: str) -> bool:
    """By the set of positions that can have been reached."""
    reached = {0}
    for character, wild in wanted:
        if wild and character == "*":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and (wild or text[at] == character)}
    return len(text) in reached


def meets(operator: str, key: str, wanted: Any, variables: bool, value: Any, assume: Any) -> bool | None:
    wanted = [wanted] if isinstance(wanted, str) else wanted
    quantifier, _, base = operator.rpartition(":")
    if_exists = base.endswith("IfExists")
    base = base.removesuffix("IfExists")
    given = value(key)
    if base == "Null":
        return ("true" if given is None else "false") in wanted
    if base not in ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "Bool"):
        return None
    if isinstance(given, list) and not quantifier and not assume.list_without_set_operator:
        return None
    if key.endswith(".List") and given is None and not quantifier and not assume.list_without_set_operator:
        return None
    expanded = [expand(one, variables, value, assume) for one in wanted]

    def one_matches(text: str) -> bool:
        if "Like" in base:
            return any(match(one, text) for one in expanded)
        plain = ["".join(c for c, _ in one) for one in expanded]
        return text.lower() in [one.lower() for one in plain] if base == "Bool" else text in plain

    if base == "Bool" and any("".join(c for c, _ in one).lower() not in ("true", "false") for one in expanded):
        return None
    negated = "Not" in base
    if given is None:
        return if_exists or quantifier == "ForAllValues" or (negated and not quantifier)
    each = [one_matches(text) != negated for text in ([given] if isinstance(given, str) else given)]
    return all(each) if quantifier == "ForAllValues" or (negated and not quantifier) else any(each)
