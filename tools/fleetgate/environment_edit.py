"""Edits the claims of an environment's file as a careful person would: one place, and every comment and the order stay.

Only the characters in question change, and what comes out is read again and compared with what was meant. A file whose form
leaves any doubt is not touched; the error says what to write into which line.
"""

from __future__ import annotations

from typing import Any

import yaml

from fleetgate import document, environment
from fleetgate.environment import Claim, Settings
from fleetgate.errors import FleetgateError, fail


def add_claim(text: str, file: str, after: str, name: str) -> str:
    """The text with a claim `name` below the claim `after`, with that one's maximum_devices if it says one."""
    settings = environment.parse(text, file)
    like = settings.claims[after]
    says_maximum = "maximum_devices" in like.model_fields_set
    made = Claim(maximum_devices=like.maximum_devices) if says_maximum else Claim()
    written = f"{name}: {{maximum_devices: {like.maximum_devices}}}" if says_maximum else f"{name}: {{}}"
    wanted: dict[str, Claim] = {}
    for known, claim in settings.claims.items():
        wanted[known] = claim
        if known == after:
            wanted[name] = made
    edited = None
    claims = _claims(text)
    if claims is not None and not claims.flow_style:
        key, value = next(pair for pair in claims.value if pair[0].value == after)
        lines = text.splitlines(keepends=True)
        at = _last_line(value) + 1
        if at <= len(lines) and not lines[key.start_mark.line][: key.start_mark.column].strip():
            newline = "\r\n" if lines[key.start_mark.line].endswith("\r\n") else "\n"
            before = "".join(lines[:at])
            before += "" if before.endswith("\n") else newline
            edited = before + " " * key.start_mark.column + written + newline + "".join(lines[at:])
    return _verified(edited, text, settings, wanted, file, after, f"write `{written}` below it")


def deactivate_claim(text: str, file: str, name: str) -> str:
    """The text with `active: false` at the claim `name`."""
    settings = environment.parse(text, file)
    wanted = settings.claims | {name: settings.claims[name].model_copy(update={"active": False})}
    edited = None
    claims = _claims(text)
    value = next((v for k, v in claims.value if k.value == name), None) if claims is not None else None
    if isinstance(value, yaml.MappingNode):
        active = next((v for k, v in value.value if k.value == "active"), None)
        if active is not None:
            edited = text[: active.start_mark.index] + "false" + text[active.end_mark.index :]
        elif value.flow_style:
            at = value.start_mark.index + 1
            edited = text[:at] + "active: false" + (", " if value.value else "") + text[at:]
        else:
            key = value.value[0][0]
            newline = "\r\n" if "\r\n" in text else "\n"
            at = key.start_mark.index
            edited = text[:at] + "active: false" + newline + " " * key.start_mark.column + text[at:]
    return _verified(edited, text, settings, wanted, file, name, "write `active: false` into it")


def _claims(text: str) -> yaml.MappingNode | None:
    """The node of `claims`. The text has been read before, so it is a map without surprises."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)  # the C loader's marks have no index
    pairs: list[Any] = root.value if isinstance(root, yaml.MappingNode) else []
    found = next((value for key, value in pairs if key.value == "claims"), None)
    return found if isinstance(found, yaml.MappingNode) else None


def _last_line(node: yaml.Node) -> int:
    """The last line with something of a node on it; a block's own end is where the next thing begins."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        return max(_last_line(value) for _, value in node.value)
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return max(_last_line(value) for value in node.value)
    line: int = node.end_mark.line
    return line


def _verified(
    edited: str | None, text: str, before: Settings, claims: dict[str, Claim], file: str, name: str, by_hand: str
) -> str:
    """The edited text, if it says what was meant and nothing else. name: the claim at which somebody else would write by hand."""
    try:
        if edited is not None:
            after = environment.parse(edited, file)
            if after == before.model_copy(update={"claims": claims}) and list(after.claims) == list(claims):
                return edited
    except FleetgateError:
        pass
    where = document.load(text, file)[1].where(("claims", name))
    raise fail(where, "cannot be edited safely in the form it has; nothing was changed", f"{by_hand} yourself, and go on by hand")
