"""What kind of document a JSON value is, and whether a policy is one of IAM's by mistake. By content, never by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from fleetgate.iot_policy import actions
from fleetgate.iot_policy.model import MAXIMUM_SIZE, OLD_VERSION, VERSION
from fleetgate.iot_policy.rule import Hit


class Kind(StrEnum):
    POLICY = "policy"
    TEMPLATE = "template"
    PLAN = "plan"
    CLOUDFORMATION = "CloudFormation template"
    OTHER = "other"


#: Characters of an IoT policy without white space that is judged; AWS IoT takes 2,048. A far larger one is nobody's policy, and
#: rules and proofs take longer than it grows.
MAXIMUM_POLICY = 10_000
#: Of the text of a policy or a provisioning template, white space included.
MAXIMUM_TEXT = 100_000

_MARKERS = (b'"Statement"', b"AWS::IoT::", b'"format_version"', b'"policyDocument"', b'"templateBody"')

_THING_POLICY_CERTIFICATE = ("AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy")
_CLOUDFORMATION_SECTIONS = {"AWSTemplateFormatVersion", "Conditions", "Hooks", "Metadata", "Outputs", "Rules", "Transform"}


def may_be_ours(data: bytes) -> bool:
    """Whether it is worth parsing: a folder's other JSON files are not. A key may be spelt with escapes, or be in UTF-16."""
    if _MARKERS[0] in data:  # as in nearly all of them
        return True
    plain = _plain(data)
    return any(marker in plain for marker in _MARKERS)


def probable_kind(data: bytes) -> Kind:
    """Of a text that cannot be parsed: each has one, so that of several runs over it, each for a kind, one reports it."""
    plain = _plain(data)
    if any(marker in plain for marker in (b'"format_version"', b'"planned_values"')):
        return Kind.PLAN
    return Kind.TEMPLATE if any(marker in plain for marker in (b"AWS::IoT::", b'"templateBody"')) else Kind.POLICY


def _plain(data: bytes) -> bytes:
    plain = data.replace(b"\0", b"") if b"\0" in data else data
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), plain) if b"\\u00" in plain else plain


_ESCAPE = re.compile(rb"\\u00([2-7][0-9a-fA-F])")


def oversized(text: str | bytes) -> str | None:
    """What is wrong with a policy's text that is too large to be judged, by any command; None for all others."""
    if len(text) <= MAXIMUM_POLICY:
        return None
    size = len("".join(text.split()) if isinstance(text, str) else b"".join(text.split()))
    if size <= MAXIMUM_POLICY and len(text) <= MAXIMUM_TEXT:
        return None
    what = f"{size:,} characters without white space" if size > MAXIMUM_POLICY else f"{len(text):,} characters"
    return f"is not judged: it has {what}, and AWS IoT takes a policy of {MAXIMUM_SIZE:,} without white space"


def kind(value: Any) -> Kind:
    """Documents that are broken in a way the rules can name still have their kind."""
    if not isinstance(value, dict):
        return Kind.OTHER
    if "Statement" in value:  # whatever else stands in it: nothing may turn a policy into what is not looked at
        return Kind.POLICY
    if isinstance(value.get("format_version"), str) and value.keys() & {"planned_values", "resource_changes", "values"}:
        return Kind.PLAN
    if "Resources" in value:
        return _template_kind(value)
    if value.get("Version") in (VERSION, OLD_VERSION):
        return Kind.POLICY
    return Kind.OTHER


def _template_kind(value: dict[str, Any]) -> Kind:
    """CloudFormation has Parameters and Resources too, and resource types of the same names."""
    resources = value["Resources"]
    listed = [r for r in resources.values() if isinstance(r, dict)] if isinstance(resources, dict) else []
    types = [t for r in listed if isinstance(t := r.get("Type"), str)]
    if _registers(value, listed):
        return Kind.TEMPLATE
    if "AWSTemplateFormatVersion" in value or any(not t.startswith("AWS::IoT") and "::" in t for t in types):
        return Kind.CLOUDFORMATION
    if not any(t.startswith("AWS::IoT") for t in types) and "DeviceConfiguration" not in value:
        return Kind.OTHER
    if value.keys() & _CLOUDFORMATION_SECTIONS and not set(types) & set(_THING_POLICY_CERTIFICATE):
        return Kind.CLOUDFORMATION
    return Kind.TEMPLATE


def _registers(value: dict[str, Any], resources: list[dict[str, Any]]) -> bool:
    """Whether a template is about the certificate that a device registers with: a name that CloudFormation cannot have."""
    declared = value.get("Parameters")
    used = [p.get("CertificateId") for r in resources if isinstance(p := r.get("Properties"), dict)]
    names = [*(declared if isinstance(declared, dict) else ()), *(u.get("Ref") for u in used if isinstance(u, dict))]
    return any(isinstance(name, str) and name.startswith("AWS::IoT::Certificate::") for name in names)


def iam(value: dict[str, Any]) -> tuple[str, Hit] | None:
    """The rule and the finding for a policy of IAM that was taken for one of AWS IoT; None for everything else.

    One sentence instead of one a statement: whoever picked the wrong file is not helped by fifty. It is IAM's only if no
    statement of it can let a device do anything, however it is written.
    """
    listed = value.get("Statement")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict) and not _is_foreign(listed[0]):
        return None  # of a policy of AWS IoT the first statement says so already, and most are
    statements = [s for s in (listed if isinstance(listed, list) else [listed]) if isinstance(s, dict)]
    if not all(map(_is_foreign, statements)) or any(map(_names_topics, statements)):
        return None
    names = [text for statement in statements for text in _texts(statement.get("Action"))]
    if not names:
        return None
    shown = ", ".join(dict.fromkeys(names[:3])) + (", ..." if len(names) > 3 else "")
    fix = "give the policy of AWS IoT that devices use; what a role may do belongs to IAM"
    for index, statement in enumerate(statements):
        for key in ("Principal", "NotPrincipal"):
            if key in statement:
                pointer = f"/Statement/{index}/{key}" if isinstance(listed, list) else f"/Statement/{key}"
                what = "trust policy" if any(name.lower().startswith("sts:") for name in names) else "resource policy"
                return "S05", Hit(pointer, f"this is an IAM {what}, not a policy of AWS IoT: {key} and {shown}", fix)
    rule = "A02" if all(actions.controls(name) for name in names) else "A03"
    return rule, Hit(
        "/Statement", f"this is an IAM policy, not a policy of AWS IoT: none of its actions is a device's ({shown})", fix
    )


def _is_foreign(statement: dict[str, Any]) -> bool:
    """Whether a statement has actions of other services and no others. All but some of those are a device's as well."""
    if "Action" not in statement:
        return "NotAction" in statement and statement.get("Effect") == "Deny"
    given = statement["Action"]
    names = given if isinstance(given, list) else [given]
    for name in names:
        if isinstance(name, str) and _of_devices(name):
            return False
    return bool(names) and "NotAction" not in statement and all(isinstance(name, str) for name in names)


def _of_devices(action: str) -> bool:
    """Whether an IoT policy could mean this action, be it misspelt."""
    if actions.matching(action):
        return True
    service, colon, _ = action.lower().partition(":")
    return not colon or (service in actions.SERVICES and not actions.controls(action))


def _names_topics(statement: dict[str, Any]) -> bool:
    return any(f":{kind}/" in text for text in _texts(statement.get("Resource")) for kind in ("topic", "topicfilter", "client"))


def _texts(value: Any) -> Iterator[str]:
    yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))
