"""Reads a YAML document into a strict model; every mistake becomes a Problem with file, line and dotted path.

Shared by the catalogue and the environment files: both are written by people, so both answer a mistake in the same way.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from fleetgate.errors import FleetgateError, Problem, fail

DottedPath = tuple[str | int, ...]
MAXIMUM_DEPTH = 50
ModelT = TypeVar("ModelT", bound="Strict")


class Strict(BaseModel):
    """A model that refuses unknown keys and type juggling, and never changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source:
    """Where each dotted path of a document stands, so that a finding can point at its line."""

    def __init__(self, file: str, lines: dict[DottedPath, int]) -> None:
        self.file = file
        self._lines = lines

    def where(self, path: DottedPath) -> str:
        """`file:line dotted.path`, with the line of the nearest ancestor that is written in the file."""
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        line = self._lines.get(known)
        return " ".join(filter(None, [f"{self.file}:{line}" if line else self.file, dotted(path)]))

    def problem(self, path: DottedPath, what: str, remedy: str) -> Problem:
        return Problem(self.where(path), what, remedy)


def dotted(path: DottedPath) -> str:
    """`("a", 0, "b")` as `a[0].b`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


#: A catalogue of a hundred types has a twentieth of it.
MAXIMUM_BYTES = 1_000_000


def is_behind_link(root: FilePath, file: str) -> bool:
    """Whether `file`, a path below `root`, leads elsewhere by a symbolic link of its own or of a folder on the way."""
    return os.path.realpath(root / file) != os.path.join(os.path.realpath(root), *file.split("/"))  # noqa: PTH118


def read_text(root: FilePath, file: str) -> str:
    """The text of a file that people write, a path below `root`. Raises FleetgateError if it cannot be read.

    A checkout may be a stranger's pull request: through a link it could show any file of this machine, or one without an end.
    """
    path = root / file
    if is_behind_link(root, file):
        raise fail(file, "is a symbolic link, or lies behind one", "put the file itself there: no link is followed")
    try:
        if path.exists() and not path.is_file():
            raise fail(file, "is no file", "put a file there")
        with path.open("rb") as opened:
            data = opened.read(MAXIMUM_BYTES + 1)
        if len(data) > MAXIMUM_BYTES:
            raise fail(file, f"is larger than {MAXIMUM_BYTES:,} bytes", "shorten it")
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise fail(file, f"cannot be read: {error.strerror}", "restore the file, or give yourself the right to read it") from None
    except UnicodeDecodeError as error:
        raise fail(
            file, f"is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}", "save it as UTF-8"
        ) from None


def load(text: str, file: str) -> tuple[dict[str, Any], Source]:
    """Parses YAML into a map and the places of its parts. Raises FleetgateError for what is not a YAML map."""
    try:
        if _depth(text, file) > MAXIMUM_DEPTH:
            raise fail(file, f"is nested more than {MAXIMUM_DEPTH} levels deep", "use fewer levels")
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else file
        what = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        remedy = f"mend the syntax at line {mark.line + 1}, column {mark.column + 1}" if mark else "mend the syntax"
        raise FleetgateError(Problem(where, what, remedy)) from None
    lines: dict[DottedPath, int] = {}
    source = Source(file, lines)
    duplicates = list(_walk(node, (), lines, source)) if node is not None else []
    if duplicates:
        raise FleetgateError(duplicates)
    try:
        data = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise fail(file, f"not plain YAML: {error}", "use strings, numbers, booleans, lists and maps only") from None
    if not isinstance(data, dict):
        raise fail(file, "is empty or not a map", "write `key: value` lines")
    return data, source


def _depth(text: str, file: str) -> int:
    """How deeply the document is nested. Counted on events: composing recurses in C, and a hostile file would end the process."""
    depth = deepest = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAXIMUM_DEPTH:
                break
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            # Ten lines of aliases to aliases can stand for more data than memory holds.
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise fail(f"{file}:{line}", "uses a YAML alias", "write the value out")
    return deepest


def validate(data: Any, source: Source, model: type[ModelT]) -> tuple[ModelT | None, list[Problem]]:
    """The model of `data`, or None and every problem of it."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, [_problem(item, model, source) for item in error.errors(include_url=False)]


def validate_partly(data: dict[str, Any], model: type[ModelT]) -> ModelT:
    """The model of what is valid of `data`. A field that is not, or is missing, is not there: hasattr tells."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        return _construct(data, model, {item["loc"] for item in error.errors(include_url=False)}, ())


def _construct(data: dict[str, Any], model: type[ModelT], bad: set[DottedPath], path: DottedPath) -> ModelT:
    # Models are strict: what is valid is in the model as it is in the document, nested models apart.
    def spoilt(place: DottedPath) -> bool:
        return any(mistake[: len(place)] == place for mistake in bad)

    valid: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        here, kind = (*path, name), field.annotation
        if name not in data or here in bad:
            continue
        if isinstance(kind, type) and issubclass(kind, Strict):
            valid[name] = _construct(data[name], kind, bad, here)
        elif get_origin(kind) is dict:
            valid[name] = {key: value for key, value in data[name].items() if not spoilt((*here, key))}
        elif not spoilt(here):
            valid[name] = data[name]
    made = model.model_construct(**valid)
    for name in model.model_fields:
        if spoilt((*path, name)) and name not in valid:
            made.__dict__.pop(name, None)  # the default, which the document does not mean
    return made


def _walk(node: yaml.Node, path: DottedPath, lines: dict[DottedPath, int], source: Source) -> Iterator[Problem]:
    """Fills `lines` and yields a problem for every duplicate key (YAML would silently keep the last)."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            lines[(*path, name)] = key.start_mark.line + 1
            if name in seen:
                yield source.problem((*path, name), "the key stands twice", "keep one of the two")
            seen.add(name)
            yield from _walk(value, (*path, name), lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index), lines, source)


def _problem(item: Any, model: type[BaseModel], source: Source) -> Problem:
    path = tuple(part for part in item["loc"] if part != "[key]")
    kind, message = item["type"], item["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        allowed = _allowed_keys(model, path)
        near = difflib.get_close_matches(str(path[-1]), allowed, 1)
        remedy = f"did you mean `{near[0]}`?" if near else "remove it" + f" (known here: {', '.join(allowed)})" * bool(allowed)
        return source.problem(path, "unknown key", remedy)
    if kind == "missing":
        return source.problem(path, "is missing", f"add `{path[-1]}`")
    if " | " in message:  # our own validators write "what | remedy"
        what, remedy = message.split(" | ", 1)
        return source.problem(path, what, remedy)
    given = item.get("input")
    shown = f" (it is {given!r:.80})" if not isinstance(given, dict | list) else ""
    expected = _type_at(model, path)
    near = difflib.get_close_matches(str(given).lower(), get_args(expected), 1) if get_origin(expected) is Literal else []
    return source.problem(path, f"{message}{shown}", f"did you mean `{near[0]}`?" if near else "give a value of that kind")


def _allowed_keys(model: type[BaseModel], path: DottedPath) -> list[str]:
    """The field names of the model that the parent of `path` is read into; [] where any key may stand."""
    parent = _type_at(model, path[:-1])
    return list(parent.model_fields) if isinstance(parent, type) and issubclass(parent, BaseModel) else []


def _type_at(model: type[BaseModel], path: DottedPath) -> Any:
    """What stands at `path` is read into this type; None where anything may stand."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
            if type(None) in get_args(current):  # Model | None
                current = next(a for a in get_args(current) if a is not type(None))
        else:  # dict[str, Model] or list[Model]: the part is a key or an index
            current = get_args(current)[-1] if get_args(current) else None
    return current
