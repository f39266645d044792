"""Jinja templates that remember: which character of the result comes from which line and column of which template.

Every output of a template is preceded by a mark that names its place; the marks are taken out of the result again. Text of the
template is exact to the character; what an expression writes stands where the expression begins.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from fleetgate.iot_policy.source import Position, position_at

#: A mark is a number between two of these. NUL cannot stand in JSON, nor in a value that went through `to_json`.
_SIGN = "\x00"
_MARK = re.compile(f"{_SIGN}([0-9]+){_SIGN}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an output begins. is_text: it is the template's own text, and what follows it follows it there too."""

    template: str
    position: Position
    is_text: bool


@dataclass(frozen=True)
class Rendered:
    """text: the result. templates: all that had a part in it."""

    text: str
    templates: frozenset[str]
    _starts: tuple[int, ...]
    _origins: tuple[Origin, ...]

    @classmethod
    def unmarked(cls, text: str, template: str, templates: frozenset[str]) -> Rendered:
        """A text of which one only knows the template that it came from."""
        return cls(text, templates, (0,), (Origin(template, Position(1, 1), is_text=False),))

    def origin(self, offset: int) -> tuple[str, Position]:
        """Template, line and column of a character of the text."""
        index = max(bisect_right(self._starts, offset) - 1, 0)
        start, origin = self._starts[index], self._origins[index]
        if not origin.is_text:
            return origin.template, origin.position
        moved = position_at(self.text[start:], offset - start)
        column = moved.column + (origin.position.column - 1 if moved.line == 1 else 0)
        return origin.template, Position(origin.position.line + moved.line - 1, column)


class MarkingEnvironment(ImmutableSandboxedEnvironment):
    """Compiles templates so that their output carries marks; `render` reads them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._origins: list[Origin] = []

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if _SIGN in source:
            line = source.count("\n", 0, source.index(_SIGN)) + 1
            raise jinja2.TemplateSyntaxError("a NUL character stands in it", line, name, filename)
        tree = super()._parse(source, name, filename)
        return _Marker(self, name or "", source, self._origins).marked(tree)

    def render(self, template: str, values: Mapping[str, Any]) -> Rendered:
        """Raises what Jinja raises."""
        marked = self.get_template(template).render(values)
        starts, origins, pieces, end, length = [0], [Origin(template, Position(1, 1), True)], [], 0, 0
        for mark in _MARK.finditer(marked):
            pieces.append(marked[end : mark.start()])
            length += len(pieces[-1])
            end = mark.end()
            starts.append(length)
            origins.append(self._origins[int(mark[1])])
        pieces.append(marked[end:])
        names = frozenset(origin.template for origin in origins)
        return Rendered("".join(pieces), names, tuple(starts), tuple(origins))


class _Marker(NodeTransformer):
    """Puts a mark in front of every output whose text goes straight into the result.

    Inside a macro, `{% set %}`, `{% filter %}` or `{% call %}` block the text is a value first, which a filter may look at: what
    comes out of these stands where they are used.
    """

    def __init__(self, environment: MarkingEnvironment, name: str, source: str, origins: list[Origin]) -> None:
        self._name = name
        self._origins = origins
        self._places = _places(environment, source)

    def marked(self, tree: nodes.Template) -> nodes.Template:
        result = self.visit(tree)
        assert isinstance(result, nodes.Template)
        return result

    def visit_Output(self, node: nodes.Output) -> nodes.Output:
        children: list[nodes.Expr] = []
        for child in node.nodes:
            children += [self._mark(self._next(child)), child]
        node.nodes = children
        return node

    def visit_Macro(self, node: nodes.Node) -> nodes.Node:
        self._skip(node)
        return node

    visit_AssignBlock = visit_Macro

    def visit_FilterBlock(self, node: nodes.Node) -> list[nodes.Node]:
        self._skip(node)
        mark = self._mark(Origin(self._name, Position(node.lineno, 1), is_text=False))
        return [nodes.Output([mark], lineno=node.lineno), node]

    visit_CallBlock = visit_FilterBlock

    def _skip(self, node: nodes.Node) -> None:
        """Keeps the list of places in step."""
        for output in node.find_all(nodes.Output):
            for child in output.nodes:
                self._next(child)

    def _next(self, child: nodes.Node) -> Origin:
        is_text = isinstance(child, nodes.TemplateData)
        for found_text, position in self._places:
            if found_text is is_text:
                return Origin(self._name, position, is_text)
        return Origin(self._name, Position(child.lineno, 1), is_text)

    def _mark(self, origin: Origin) -> nodes.TemplateData:
        self._origins.append(origin)
        return nodes.TemplateData(f"{_SIGN}{len(self._origins) - 1}{_SIGN}", lineno=origin.position.line)


def _places(environment: jinja2.Environment, source: str) -> Iterator[tuple[bool, Position]]:
    """Of every piece of text and every `{{`, in the order of the template: whether it is text, and where it begins."""
    text = re.sub(r"\r\n|\r", "\n", source)
    end = 0
    for _, token, value in environment.lexer.tokeniter(source, None):
        start = text.find(value, end)
        if start < 0:
            return
        if token == "data" and value:  # noqa: S105
            yield True, position_at(text, start)
        elif token == "variable_begin":  # noqa: S105
            yield False, position_at(text, start)
        end = start + len(value)
