"""The document model: a policy as statements with patterns, read leniently so that every mistake can be named at once.

A statement that AWS could not read at all is left out and named in `flaws`; everything else is kept as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fleetgate.iot_policy import pattern
from fleetgate.iot_policy.pattern import Pattern
from fleetgate.iot_policy.source import Pointer, escape, kind_of

if TYPE_CHECKING:
    from fleetgate.iot_policy.view import View

#: The only version whose policies know variables.
VERSION = "2012-10-17"
OLD_VERSION = "2008-10-17"
ELEMENTS = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
TOP_ELEMENTS = ("Version", "Id", "Statement")
PRINCIPALS = ("Principal", "NotPrincipal")
_ELEMENTS, _TOP_ELEMENTS = frozenset(ELEMENTS), frozenset(TOP_ELEMENTS)
_WHITE_SPACE = b" \n\r\t"
#: Characters of a policy document that AWS IoT takes, white space not counted [AWS IoT Core quotas].
MAXIMUM_SIZE = 2048


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a part of a document cannot be read. rule: the lint rule that reports it."""

    rule: str
    pointer: Pointer
    message: str
    fix: str


# Named tuples where a policy has dozens of them: they are made in a third of a dataclass' time, and lint is mostly reading.


class Text(NamedTuple):
    """A string of a policy and where it stands."""

    text: str
    pointer: Pointer


class Arn(NamedTuple):
    """A resource, taken apart at its colons.

    kind: the resource type (`topic`), "*" if a wildcard stands for it, None if there is none. name: what follows `<kind>/`, as a
    pattern; all of it, if kind is "*". variables: those of all of it, which are nearly always those of the name. place: its
    partition, service, Region and account. is_plain: nothing is wrong with it, its type and a name are written out, and
    no `${$}` stands in it. Of an ARN with too few parts only `text` is set, and `problem` says what is wrong.
    """

    text: str
    knows_variables: bool
    partition: str = ""
    service: str = ""
    region: str = ""
    account: str = ""
    kind: str | None = None
    name: Pattern | None = None
    problem: str | None = None
    variables: tuple[str, ...] = ()
    place: tuple[str, str, str, str] = ("", "", "", "")
    is_plain: bool = False

    @property
    def whole(self) -> Pattern:
        """What requests are compared with."""
        return pattern.parse(self.text, variables=self.knows_variables)


class Resource(NamedTuple):
    """arn.whole is what counts for a decision: AWS compares whole ARNs."""

    text: str
    pointer: Pointer
    arn: Arn


class Condition(NamedTuple):
    """`Condition: {operator: {key: values}}`, one key of it. values: as texts, a boolean as `true` or `false`."""

    operator: str
    key: str
    values: tuple[Text, ...]
    pointer: Pointer


@dataclass(slots=True, unsafe_hash=True)
class Statement:
    """negated_actions, negated_resources: it has NotAction, NotResource. Not frozen: that would double the time to make one."""

    index: int
    pointer: Pointer
    sid: str | None
    allow: bool
    actions: tuple[Text, ...]
    negated_actions: bool
    resources: tuple[Resource, ...]
    negated_resources: bool
    conditions: tuple[Condition, ...]


@dataclass(unsafe_hash=True)
class Policy:
    """statements: the readable ones. size: characters without white space, as AWS counts. Not frozen, as Statement is not."""

    name: str
    version: str | None
    statements: tuple[Statement, ...]
    flaws: tuple[Flaw, ...]
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it had to be left out, but for statements that cover nothing."""
        return all(flaw.message in _NOTHING for flaw in self.flaws)

    @cached_property
    def view(self) -> View:
        """What it allows and denies, by action."""
        from fleetgate.iot_policy.view import View

        return View(self)


def read(value: Any, name: str, text: str | None = None) -> Policy:
    """A policy from parsed JSON. text: the document as it will be sent, for its size; without it, of a compact dump."""
    flaws: list[Flaw] = []
    if text is None:
        import json

        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    raw = text.encode(errors="surrogatepass")
    size = len(text) - len(raw) + len(raw.translate(None, _WHITE_SPACE))
    if not isinstance(value, dict):
        flaws.append(
            Flaw("S03", "", f"a policy is an object, this is {kind_of(value)}", 'write {"Version": ..., "Statement": [...]}')
        )
        return Policy(name, None, (), tuple(flaws), size)
    if not value.keys() <= _TOP_ELEMENTS:
        _unknown(value, "", TOP_ELEMENTS, flaws)
    version = value.get("Version")
    variables = version == VERSION or version is None or not isinstance(version, str)
    statements = []
    for index, (pointer, item) in enumerate(_statements(value, flaws)):
        found = _statement(item, index, pointer, flaws, variables=variables)
        if found is not None:
            statements.append(found)
    if "\\u" in text or not text.isascii():
        flaws += (Flaw("S04", at, "half a character stands in the text (a lone surrogate)", _WHOLE) for at in _halves(value))
    return Policy(name, version if isinstance(version, str) else None, tuple(statements), tuple(flaws), size)


_EMPTY = "there is no statement in it"
_NOTHING = (_EMPTY, "Action is empty", "Resource is empty")
_WHOLE = "write the whole character: half of one is no text that AWS could store"
_HALF = re.compile("[\ud800-\udfff]")


def _halves(value: Any) -> Iterator[Pointer]:
    """Where a text holds a lone surrogate, as JSON's escapes allow: marks of `automaton` and `grants` are such characters."""
    left: list[tuple[Pointer, Any]] = [("", value)]
    while left:
        at, one = left.pop()
        if isinstance(one, dict):
            if any(map(_HALF.search, one)):
                yield at
            left += ((f"{at}/{escape(key)}", inner) for key, inner in one.items())
        elif isinstance(one, list):
            left += ((f"{at}/{index}", inner) for index, inner in enumerate(one))
        elif isinstance(one, str) and _HALF.search(one):
            yield at


def _statements(value: dict[str, Any], flaws: list[Flaw]) -> Iterator[tuple[Pointer, Any]]:
    listed = value.get("Statement")
    if isinstance(listed, dict):
        yield "/Statement", listed
    elif isinstance(listed, list):
        for index, item in enumerate(listed):
            yield f"/Statement/{index}", item
        if not listed:
            flaws.append(Flaw("S03", "/Statement", _EMPTY, "add a statement, or remove the policy"))
    elif listed is None:
        flaws.append(Flaw("S03", "", "Statement is missing", 'add "Statement": [...]'))
    else:
        flaws.append(Flaw("S04", "/Statement", f"Statement is {kind_of(listed)}", "write a list of objects"))


def _statement(value: Any, index: int, pointer: Pointer, flaws: list[Flaw], *, variables: bool) -> Statement | None:
    if not isinstance(value, dict):
        flaws.append(Flaw("S04", pointer, f"a statement is an object, this is {kind_of(value)}", "write {...}"))
        return None
    if not value.keys() <= _ELEMENTS:
        _unknown(value, pointer, ELEMENTS, flaws)
    before = len(flaws)
    effect = value.get("Effect")
    if effect not in ("Allow", "Deny"):
        if effect is None:
            flaws.append(Flaw("S03", pointer, "Effect is missing", 'add "Effect": "Allow"'))
        elif isinstance(effect, str) and "${" in effect:
            flaws.append(Flaw("V02", f"{pointer}/Effect", f"Effect is the variable {effect:.80}", "write Allow or Deny"))
        elif isinstance(effect, str):
            flaws.append(Flaw("S03", f"{pointer}/Effect", f"Effect is {effect!r:.80}", "write Allow or Deny, spelt like this"))
        else:
            flaws.append(Flaw("S04", f"{pointer}/Effect", f"Effect is {kind_of(effect)}", 'write "Allow" or "Deny"'))
    actions, negated_actions = _element(value, pointer, "Action", "NotAction", flaws)
    resources, negated_resources = _element(value, pointer, "Resource", "NotResource", flaws)
    conditions = tuple(_conditions(value.get("Condition"), f"{pointer}/Condition", flaws)) if "Condition" in value else ()
    if len(flaws) > before:
        return None
    sid = value.get("Sid")
    return Statement(
        index,
        pointer,
        sid if isinstance(sid, str) else None,
        effect == "Allow",
        tuple([Text(text, at) for text, at in actions]),
        negated_actions,
        # With the text that is kept already: what is kept for a text is found by it without a comparison.
        tuple([Resource((arn := _arn(text, variables)).text, at, arn) for text, at in resources]),
        negated_resources,
        conditions,
    )


def _unknown(value: dict[str, Any], pointer: Pointer, elements: tuple[str, ...], flaws: list[Flaw]) -> None:
    """Names what is no element of a policy. A statement with a misspelt one misses the right one, too, and says so by itself."""
    import difflib

    for key in value:
        if key in elements:
            continue
        at = f"{pointer}/{escape(key)}"
        if key in PRINCIPALS:
            fix = f"remove {key}: the policy speaks for whatever certificate, group or identity it is attached to"
            flaws.append(Flaw("S05", at, f"{key} stands in an AWS IoT policy, or this is an IAM policy", fix))
            continue
        close = difflib.get_close_matches(key.capitalize(), elements, n=1)
        fix = f"write {close[0]}" if close else f"remove it, or write one of {', '.join(elements)}"
        flaws.append(Flaw("S03", at, f"{key!r:.80} is no element of a policy", fix))


def _element(
    value: dict[str, Any], pointer: Pointer, name: str, negated: str, flaws: list[Flaw]
) -> tuple[list[tuple[str, Pointer]], bool]:
    """The texts of Action or NotAction, Resource or NotResource, of which there must be exactly one."""
    if name in value and negated not in value:
        key = name
    elif negated in value and name not in value:
        key = negated
    else:
        both = name in value
        what = f"{name} and {negated} stand side by side" if both else f"{name} is missing"
        flaws.append(Flaw("S03", pointer, what, "keep one of the two" if both else f'add "{name}": [...]'))
        return [], False
    given, at = value[key], f"{pointer}/{key}"
    if isinstance(given, str):
        return [(given, at)], key is negated
    if isinstance(given, list) and set(map(type, given)) == {str}:
        return [(item, f"{at}/{index}") for index, item in enumerate(given)], key is negated
    return list(_texts(given, at, key, flaws)), key is negated


def _texts(value: Any, pointer: Pointer, name: str, flaws: list[Flaw]) -> Iterator[tuple[str, Pointer]]:
    if not isinstance(value, list):
        inside = [key for key in value if key in ELEMENTS] if isinstance(value, dict) else []
        fix = f"move {inside[0]} out of {name}, to stand beside it" if inside else "write a text or a list of texts"
        flaws.append(Flaw("S04", pointer, f"{name} is {kind_of(value)}", fix))
        return
    if not value:
        flaws.append(Flaw("S03", pointer, f"{name} is empty", "name at least one, or remove the statement"))
    for index, item in enumerate(value):
        if isinstance(item, str):
            yield item, f"{pointer}/{index}"
        else:
            inside = [key for key in item if key in ELEMENTS] if isinstance(item, dict) else []
            fix = f"move {inside[0]} out of {name}, to stand beside it" if inside else "write a text"
            flaws.append(Flaw("S04", f"{pointer}/{index}", f"{name} holds {kind_of(item)}", fix))


def _conditions(value: Any, pointer: Pointer, flaws: list[Flaw]) -> Iterator[Condition]:
    if not isinstance(value, dict):
        flaws.append(
            Flaw("S04", pointer, f"Condition is {kind_of(value)}", 'write {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}')
        )
        return
    for operator, keys in value.items():
        at = f"{pointer}/{escape(operator)}"
        if not isinstance(keys, dict):
            flaws.append(Flaw("S04", at, f"{operator} is {kind_of(keys)}", "write an object of keys and values"))
            continue
        for key, given in keys.items():
            place = f"{at}/{escape(key)}"
            values = given if isinstance(given, list) else [given]
            texts = []
            for index, item in enumerate(values):
                where = f"{place}/{index}" if isinstance(given, list) else place
                if isinstance(item, dict | list) or item is None:
                    flaws.append(Flaw("S04", where, f"the value of {key} is {kind_of(item)}", "write a text"))
                else:
                    texts.append(Text(str(item).lower() if isinstance(item, bool) else str(item), where))
            yield Condition(operator, key, tuple(texts), place)


#: Without the cache: an ARN is kept with its pattern.
_parse = pattern.parse.__wrapped__


def arn(text: str, *, variables: bool = True) -> Arn:
    """A resource of a policy, taken apart. Never raises: what is wrong with it stands in `problem`."""
    return _arn(text, variables)


@lru_cache(maxsize=4096)
def _arn(text: str, variables: bool) -> Arn:
    found = _taken_apart(text, variables)
    names = found.variables or (found.whole.variables if "${" in text else ())
    is_plain = found.problem is None and found.kind != "*" and found.name is not None and found.name.text != ""
    place = (found.partition, found.service, found.region, found.account)
    return found._replace(variables=names, place=place, is_plain=is_plain and "${$}" not in text)


def _taken_apart(text: str, variables: bool) -> Arn:
    if text == "*":
        return Arn(text, variables, "*", "*", "*", "*", "*", _parse(text, variables=variables))
    parts = split_arn(text)
    if 1 < len(parts) < 6 and parts[0] == "arn" and "*" in parts[-1]:
        # Compared as a whole, `arn:aws:iot:*` covers whatever begins so.
        partition, service, region, account = [*parts[1:-1], "*", "*", "*", "*"][:4]
        return Arn(text, variables, partition, service, region, account, "*", _parse(text, variables=variables))
    if len(parts) < 6:
        return Arn(text, variables, problem=f"an ARN has six parts between colons, this has {len(parts)}")
    first, partition, service, region, account, rest = parts
    if first != "arn":
        return Arn(text, variables, partition, service, region, account, problem="an ARN starts with arn:")
    kind, slash, name = rest.partition("/")
    if kind and slash and "*" not in kind and "?" not in kind:
        parsed = _parse(name, variables=variables)
        names = parsed.variables if text.find("${", 0, len(text) - len(name)) < 0 else ()
        return Arn(text, variables, partition, service, region, account, kind, parsed, None, names)
    if "*" in kind or "?" in kind:
        # `topic*` covers `topic/…` and `topicfilter/…`; a bare `*` covers everything.
        return Arn(text, variables, partition, service, region, account, "*", _parse(text, variables=variables))
    if not slash:
        problem = f"{rest!r:.80} has no resource type, like topic/{rest:.40}"
    else:
        problem = f"a slash stands before the resource type; write :{name.partition('/')[0] or 'topic'}/..."
    return Arn(text, variables, partition, service, region, account, problem=problem)


def short(resource: str) -> str:
    """An ARN without partition, Region and account, which are the same everywhere."""
    return resource.split(":", 5)[-1] if resource.startswith("arn:") else resource


def split_arn(text: str) -> list[str]:
    """The parts of an ARN, cut at the first five colons that are not inside of a variable."""
    plain = text.split(":", 5)
    if "${" not in text[: len(text) - len(plain[-1])]:
        return plain
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        if character == "{" and text[index - 1 : index] == "$":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == ":" and not depth:
            parts.append(text[start:index])
            start = index + 1
            if len(parts) == 5:
                break
    return [*parts, text[start:]]
