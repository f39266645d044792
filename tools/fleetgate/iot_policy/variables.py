"""The variables that a policy may name in Resource and Condition, and what their values can look like.

[AWS IoT Core developer guide: basic, thing and X.509 certificate policy variables; botocore's iot and iot-data models for the
character sets]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

#: Characters that mean something in a topic, in a topic filter or in a policy.
SPECIAL = frozenset("/+#*?$")
#: A certificate attribute that holds one of these, or is longer, is not substituted [certificate policy variables: limitations].
_NEVER_SUBSTITUTED = frozenset("*$+?#")
_MAXIMUM_CERTIFICATE_VALUE = 1024
#: Further values of a certificate attribute are ignored [the same].
MAXIMUM_CERTIFICATE_VALUES = 5

#: [botocore iot-data ClientId]
MAXIMUM_CLIENT_ID = 128

CLIENT_ID = "iot:ClientId"
SOURCE_IP = "aws:SourceIp"
DOMAIN_NAME = "iot:DomainName"
THING_NAME = "iot:Connection.Thing.ThingName"
THING_TYPE = "iot:Connection.Thing.ThingTypeName"
IS_ATTACHED = "iot:Connection.Thing.IsAttached"
ATTRIBUTES = "iot:Connection.Thing.Attributes"
CERTIFICATE = "iot:Certificate."
AVAILABLE_KEYS = "iot:Certificate.AvailableKeys"
SERIAL_NUMBER = "iot:Certificate.SerialNumber"
#: AWS IoT's own id of the certificate [certificate policy variables: CertificateId; certificate policy examples].
CERTIFICATE_ID = "iot:CertificateId"
#: Condition keys of Connect, not variables [connect policy examples].
CONNECT_ATTRIBUTES = "iot:ConnectAttributes"
LAST_WILL_TOPIC = "iot:LastWillTopic"


class Kind(StrEnum):
    """Where the value comes from."""

    CONNECTION = "connection"
    THING = "thing"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class PolicyVariable:
    """name: as AWS writes it; of an attribute with `[name]`, of a certificate field with `.1` or `.List`.

    mqtt_only: has no value over HTTPS. characters: a regular expression for the whole value, None if anything can stand in it.
    special: those of SPECIAL that a substituted value can hold. is_list: can only be compared, not substituted.
    """

    name: str
    kind: Kind
    mqtt_only: bool = False
    characters: str | None = None
    special: frozenset[str] = SPECIAL
    is_list: bool = False


_NAME = r"[a-zA-Z0-9:_-]{1,128}"
_PLAIN: frozenset[str] = frozenset()
_NAME_FIELDS = (
    *("DistinguishedNameQualifier", "Country", "Organization", "OrganizationalUnit", "State", "CommonName", "SerialNumber"),
    *("Title", "Surname", "GivenName", "Initials", "Pseudonym", "GenerationQualifier"),
)
_ALTERNATIVE_NAMES = ("RFC822Name", "DNSName", "DirectoryName", "UniformResourceIdentifier", "IPAddress")
#: The certificate's fields that may be followed by an index or by `.List`.
CERTIFICATE_FIELDS = tuple(
    f"{CERTIFICATE}{side}.{field}"
    for side in ("Subject", "Issuer")
    for field in (*_NAME_FIELDS, *(f"AlternativeName.{name}" for name in _ALTERNATIVE_NAMES))
)


def _certificate(name: str, *, is_list: bool = False) -> PolicyVariable:
    return PolicyVariable(name, Kind.CERTIFICATE, special=frozenset("/"), is_list=is_list)


VARIABLES: Mapping[str, PolicyVariable] = MappingProxyType(
    {
        variable.name: variable
        for variable in (
            PolicyVariable(CLIENT_ID, Kind.CONNECTION, mqtt_only=True, characters=r"[^$][\s\S]{0,127}"),
            PolicyVariable(SOURCE_IP, Kind.CONNECTION, characters=r"[0-9a-fA-F:.]+", special=_PLAIN),
            PolicyVariable(DOMAIN_NAME, Kind.CONNECTION, characters=r"[a-zA-Z0-9.-]+", special=_PLAIN),
            PolicyVariable(THING_NAME, Kind.THING, mqtt_only=True, characters=_NAME, special=_PLAIN),
            PolicyVariable(THING_TYPE, Kind.THING, mqtt_only=True, characters=_NAME, special=_PLAIN),
            PolicyVariable(IS_ATTACHED, Kind.THING, mqtt_only=True, characters="true|false", special=_PLAIN),
            PolicyVariable(SERIAL_NUMBER, Kind.CERTIFICATE, characters="[0-9]+", special=_PLAIN),
            PolicyVariable(CERTIFICATE_ID, Kind.CERTIFICATE, characters="[0-9a-f]{64}", special=_PLAIN),
            PolicyVariable(AVAILABLE_KEYS, Kind.CERTIFICATE, characters=r"[a-zA-Z0-9.]+", special=_PLAIN, is_list=True),
            *(_certificate(name) for name in CERTIFICATE_FIELDS),
        )
    }
)
#: Keys that only a condition can ask for, only on Connect.
CONNECT_KEYS = (CONNECT_ATTRIBUTES, LAST_WILL_TOPIC)

_ATTRIBUTE = re.compile(re.escape(ATTRIBUTES) + r"\[([a-zA-Z0-9_.,@/:#-]{1,128})\]")
_SUFFIX = re.compile(r"(?P<field>.+)\.(?P<suffix>0|[1-9][0-9]*|List)")
_LOWER = {name.lower(): name for name in (*VARIABLES, *CONNECT_KEYS)}


@lru_cache(maxsize=4096)
def known(name: str) -> PolicyVariable | None:
    """What is documented under exactly this name, or None."""
    found = VARIABLES.get(name)
    if found is not None:
        return found
    if _ATTRIBUTE.fullmatch(name):
        # botocore's AttributeValue: [a-zA-Z0-9_.,@/:#=\[\]-]*
        values = r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}"
        return PolicyVariable(name, Kind.THING, mqtt_only=True, characters=values, special=frozenset("/#"))
    suffixed = _SUFFIX.fullmatch(name)
    if suffixed and suffixed["field"] in CERTIFICATE_FIELDS:
        return _certificate(name, is_list=suffixed["suffix"] == "List")
    return None


def is_value(name: str, value: str) -> bool:
    """Whether a known variable can have this value."""
    found = known(name)
    return found is not None and (found.characters is None or re.fullmatch(found.characters, value) is not None)


def is_never_substituted(value: str) -> bool:
    """Of a certificate's value: whether its variable stays text in the policy."""
    return len(value) > _MAXIMUM_CERTIFICATE_VALUE or not _NEVER_SUBSTITUTED.isdisjoint(value)


def attribute_name(name: str) -> str | None:
    """`site` of `iot:Connection.Thing.Attributes[site]`, None of anything else."""
    found = _ATTRIBUTE.fullmatch(name)
    return found[1] if found else None


def split_certificate(name: str) -> tuple[str, str | None]:
    """`Subject.Country` and its suffix (`1`, `List`) or None, of a certificate variable's name; `CertificateId` of that one."""
    short = name.removeprefix(CERTIFICATE if name != CERTIFICATE_ID else "iot:")
    suffixed = _SUFFIX.fullmatch(short)
    if suffixed and CERTIFICATE + suffixed["field"] in CERTIFICATE_FIELDS:
        return suffixed["field"], suffixed["suffix"]
    return short, None


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """The name as AWS writes it, whatever the case; an attribute's own name keeps its case. Unknown names stay."""
    lower = name.lower()
    if lower in _LOWER:
        return _LOWER[lower]
    if lower.startswith(ATTRIBUTES.lower() + "["):
        return ATTRIBUTES + name[len(ATTRIBUTES) :]
    field, dot, suffix = name.rpartition(".")
    if dot and field.lower() in _LOWER:
        return f"{_LOWER[field.lower()]}.{'List' if suffix.lower() == 'list' else suffix}"
    return name


@lru_cache(maxsize=4096)
def nearest(name: str) -> str | None:
    """The documented variable that was probably meant, or None if none is near."""
    right = canonical(name)
    if right != name and (known(right) or right in CONNECT_KEYS):
        return right
    import difflib

    # `iot:Thing.ThingName`: the last part is right, the way to it is not. A certificate's subject comes before its issuer.
    last = name.rpartition(".")[2].rpartition(":")[2].lower()
    ends = [candidate for candidate in VARIABLES if last and candidate.lower().endswith((f".{last}", f":{last}"))]
    if ends:
        return next(iter(difflib.get_close_matches(name, ends, n=1, cutoff=0.9)), ends[0])
    close = difflib.get_close_matches(name, [*VARIABLES, *CONNECT_KEYS], n=1, cutoff=0.75)
    return close[0] if close else None


def table() -> str:
    """The variables as a Markdown table, for the documentation; the certificate's fields that are alike in one row."""
    rows = ["| variable | over HTTPS | its value may hold, of `/ + # * ? $` |", "|---|---|---|"]
    fields = [
        name.removeprefix(f"{CERTIFICATE}Subject.") for name in CERTIFICATE_FIELDS if name.startswith(f"{CERTIFICATE}Subject.")
    ]
    shown = [variable for variable in VARIABLES.values() if variable.name not in CERTIFICATE_FIELDS]
    attribute, field = known(f"{ATTRIBUTES}[x]"), known(CERTIFICATE_FIELDS[0])
    assert attribute is not None and field is not None
    for name, variable in (
        *((f"`{variable.name}`", variable) for variable in shown),
        (f"`{ATTRIBUTES}[name]`", attribute),
        (f"`{CERTIFICATE}Subject.` and `{CERTIFICATE}Issuer.` with {', '.join(f'`{one}`' for one in fields)}", field),
    ):
        holds = " ".join(f"`{character}`" for character in "/+#*?$" if character in variable.special) or "none"
        holds = "a list, never substituted" if variable.is_list else holds
        rows.append(f"| {name} | {'no value' if variable.mqtt_only else 'yes'} | {holds} |")
    return "\n".join(rows) + "\n"
