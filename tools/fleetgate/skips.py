"""Skips of checkov's that stand in the Terraform files beside their resources, and a plan that is fit to be judged with them.

checkov can match a plan with its files itself (`--repo-root-for-plan-enrichment`), but by a resource's type and name without its
module: of all that are called `aws_cloudwatch_log_group.this`, the skips of the one that it reads last count for each. With
`--deep-analysis` it counts none at all. Here a plan says which folder a module's resources come from. Standard library only: this
runs beside checkov.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r'^resource\s+"([^"]+)"\s+"([^"]+)"\s*\{', re.MULTILINE)
#: checkov's own form: everything behind the second colon is the reason.
_SKIP = re.compile(r"(?:checkov|bridgecrew):skip=\s*([A-Z0-9_]+)(?::([^\n]*))?")
_DYNAMIC = re.compile(r'\bdynamic\s+"([^"]+)"')
_INDEX = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')
_UNKNOWN = "known after apply"
#: What a resource's files say of it: its arguments, and of each block in it the same; None for what is no block.
Said = dict[str, Any]


@dataclass(frozen=True)
class Skip:
    """check: its id. reason: "" if none is given. block: what it stands in, `aws_sns_topic.this`, or "" if in no resource."""

    file: Path
    line: int
    block: str
    check: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: skip of {self.check}"


def in_folder(folder: Path) -> list[Skip]:
    """The skips of one module's files."""
    found = []
    for file in sorted(folder.glob("*.tf")):
        text = file.read_text(encoding="utf-8")
        blocks = list(_blocks(text))
        for match in _SKIP.finditer(text):
            inside = next((name for name, start, end in blocks if start < match.start() < end), "")
            line = text.count("\n", 0, match.start()) + 1
            found.append(Skip(file, line, inside, match[1], (match[2] or "").strip()))
    return found


def _blocks(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each resource. As terraform fmt leaves a file, the first brace at the start of a line closes it."""
    for match in _BLOCK.finditer(text):
        closed = text.find("\n}", match.end() - 1)
        yield f"{match[1]}.{match[2]}", match.start(), closed if closed >= 0 else len(text)


def folders(plan: Mapping[str, Any], root: Path) -> dict[str, Path]:
    """Module address without indexes ("" for the root) to the folder of its files. Modules from elsewhere are left out."""
    found = {"": root}

    def walk(block: Mapping[str, Any], address: str, folder: Path) -> None:
        for name, call in block.get("module_calls", {}).items():
            source = call.get("source", "")
            if source.startswith(("./", "../")):
                inner = f"{address}.module.{name}".lstrip(".")
                found[inner] = folder / source
                walk(call.get("module", {}), inner, folder / source)

    walk(plan.get("configuration", {}).get("root_module", {}), "", root)
    return found


def split(address: str) -> tuple[str, str]:
    """`module.a["x"].aws_sns_topic.this[0]` as (`module.a`, `aws_sns_topic.this`): where in the files a resource stands."""
    parts = _INDEX.sub("", address).split(".")
    return ".".join(parts[:-2]), ".".join(parts[-2:])


def judgeable(plan: dict[str, Any], root: Path) -> dict[str, Any]:
    """The plan with exactly what the files say of each resource, whether or not it is applied.

    A key that is known after the first apply only is no key to checkov, which then finds data that is not encrypted; and what
    AWS fills in by itself is a decision to it: Lambda's `PassThrough` would be tracing, and AWS's own key of DynamoDB one of
    ours, as would be a null that is written out.
    """
    judged = copy.deepcopy(plan)
    written = {name: _written(plan, name) for name in ("", *folders(plan, root))}
    dynamic = {name: _dynamic(folder) for name, folder in folders(plan, root).items()}
    unknown = {
        change["address"]: change.get("change", {}).get("after_unknown") or {} for change in plan.get("resource_changes", ())
    }
    for resource in resources(judged.get("planned_values", {}).get("root_module", {})):
        module, name = split(resource["address"])
        said = written.get(module, {}).get(name)
        if said is None or "values" not in resource:
            continue
        said = _with(said, dynamic.get(module, {}).get(name, frozenset()))
        values, later = resource["values"], unknown.get(resource["address"], {})
        filled = _filled(_kept(values, said), later, said)
        resource["values"] = filled
        for change in judged.get("resource_changes", ()):
            if change["address"] == resource["address"] and isinstance(change.get("change", {}).get("after"), dict):
                change["change"]["after"] = filled
    return judged


def _kept(values: dict[str, Any], said: Said) -> dict[str, Any]:
    """What the files say, without what they say is null."""
    kept = {}
    for key, value in values.items():
        if key in said and value is not None:
            inner = said[key]
            blocks = inner is not None and isinstance(value, list)
            kept[key] = [_kept(item, inner) if isinstance(item, dict) else item for item in value] if blocks else value
    return kept


def _filled(values: dict[str, Any], unknown: Any, said: Said | None = None) -> dict[str, Any]:
    """With a text in each place whose value is not known yet. said: only these may be filled; None: all."""
    result = dict(values)
    for key, later in unknown.items() if isinstance(unknown, dict) else ():
        if said is not None and key not in said:
            continue
        value, inside = result.get(key), said[key] if said is not None else None
        if later is True:
            result[key] = _UNKNOWN
        elif isinstance(later, list) and isinstance(value, list):
            paired = zip(value, later, strict=False)
            result[key] = [
                _UNKNOWN if inner is True else _filled(item, inner, inside) if isinstance(item, dict) else item
                for item, inner in paired
            ]
        elif isinstance(later, dict) and isinstance(value, dict):
            result[key] = _filled(value, later)
    return result


def _written(plan: Mapping[str, Any], module: str) -> dict[str, Said]:
    """The arguments that a module's files give each resource."""
    block = plan.get("configuration", {}).get("root_module", {})
    null: frozenset[str] = frozenset()
    for name in filter(None, module.split(".")):
        if name != "module":
            call = block.get("module_calls", {}).get(name, {})
            block = call.get("module", {})
            null = _null(block.get("variables", {}), call.get("expressions", {}))
    return {
        f"{resource['type']}.{resource['name']}": _said(resource.get("expressions", {}), null)
        for resource in block.get("resources", ())
        if resource.get("mode", "managed") == "managed"
    }


def _null(variables: Mapping[str, Any], given: Mapping[str, Any]) -> frozenset[str]:
    """Variables of a module that are null, as expressions refer to them: without a default and without a value of the call."""
    return frozenset(f"var.{name}" for name, one in variables.items() if one.get("default") is None and name not in given)


def _said(expressions: Mapping[str, Any], null: frozenset[str]) -> Said:
    """null: an argument that hands on such a variable, and nothing else, is not given. The plan of an applied fleet has what
    AWS chose in its place, that of an empty account nothing that is known; so it is told by the files alone."""
    found: Said = {}
    for name, expression in expressions.items():
        if isinstance(expression, list):  # the blocks of this name
            found[name] = {}
            for block in expression:
                found[name] |= _said(block, null)
        elif frozenset(expression.get("references") or ("",)) - null:
            found[name] = None
    return found


def _with(said: Said, dynamic: frozenset[str]) -> Said:
    """With all that blocks of these names hold, on whichever level they stand."""
    deeper = {name: inner if inner is None else _with(inner, dynamic) for name, inner in said.items()}
    return deeper | dict.fromkeys(dynamic)


def _dynamic(folder: Path) -> dict[str, frozenset[str]]:
    """Blocks that the files make by `dynamic`, which the plan's configuration does not list."""
    found: dict[str, frozenset[str]] = {}
    for file in sorted(folder.glob("*.tf")):
        text = file.read_text(encoding="utf-8")
        found |= {name: frozenset(_DYNAMIC.findall(text[start:end])) for name, start, end in _blocks(text)}
    return found


def resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of a module in a plan's planned values, and of the modules in it."""
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from resources(child)
