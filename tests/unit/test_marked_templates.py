"""Which character of a rendered template comes from which line and column of which template."""

from __future__ import annotations

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgate.marked_templates import MarkingEnvironment, Rendered


def render(template: str, values: dict[str, object] | None = None, **others: str) -> Rendered:
    loader = jinja2.DictLoader({"main": template, **others})
    return MarkingEnvironment(loader=loader, keep_trailing_newline=True).render("main", values or {})


def places(rendered: Rendered, *words: str) -> list[tuple[str, int, int]]:
    found = [rendered.origin(rendered.text.index(word)) for word in words]
    return [(template, position.line, position.column) for template, position in found]


def test_text_is_found_at_its_character_and_an_expression_at_its_beginning():
    rendered = render("one\n  two {{ x }} three\nfour", {"x": "X\nY"})
    assert rendered.text == "one\n  two X\nY three\nfour"
    assert places(rendered, "one", "two", "X", "Y", "three", "four") == [
        ("main", 1, 1),
        ("main", 2, 3),
        ("main", 2, 7),
        ("main", 2, 7),
        ("main", 2, 15),
        ("main", 3, 1),
    ]


@pytest.mark.parametrize(
    "template, word, place",
    [
        ("{# a\n b -#}\n\n  word", "word", (4, 3)),
        ("a\n   {%- if true %}\nword{% endif %}", "word", (3, 1)),
        ("{% if false %}{{ 1 }}\n{% else %}\n word{% endif %}", "word", (3, 2)),
        ("{% for n in range(3) %}\n{{ n }},word{{ n }}\n{% endfor %}", "word2", (2, 9)),
        ("{% raw %}\n{{ word }}{% endraw %}", "word", (2, 4)),
        ("{% set x %}{{ 1 }} word{% endset %}\n\n {{ x }}", "word", (3, 2)),
        ("{% macro m(a) %}\n{{ a }} word{% endmacro %}\n{{ m(1) }}", "word", (3, 1)),
        ("{{ '-' }}\n{% filter upper %}{{ 1 }} word{% endfilter %}\nend", "WORD", (2, 1)),
        ("{{ '-' }}\n{% filter upper %}{{ 1 }} word{% endfilter %}\nend", "end", (3, 1)),
        ("{{\n  'word'\n}}", "word", (1, 1)),
        ("a\r\nb\r\nword", "word", (3, 1)),
        ("{{ 1 }}{{ 'word' }}", "word", (1, 8)),
    ],
)
def test_places_survive(template, word, place):
    assert places(render(template), word) == [("main", *place)]


def test_what_a_template_includes_is_found_there():
    rendered = render('first\n{% include "part" %}\nlast {{ x }}', {"x": 5}, part="inner\n  {{ x }} deep")
    assert places(rendered, "first", "inner", "deep", "last") == [("main", 1, 1), ("part", 1, 1), ("part", 2, 11), ("main", 3, 1)]
    assert rendered.templates == {"main", "part"}


def test_filters_see_no_marks():
    assert render("{% set x %}a{{ 1 }}b{% endset %}{{ x | length }}").text == "3"


def test_a_nul_character_is_refused_before_it_can_be_taken_for_a_mark():
    with pytest.raises(jinja2.TemplateSyntaxError, match="NUL"):
        render("a\n\x00{{ 1 }}")


_PIECES = st.sampled_from(
    [
        "{{ x }}",
        "{{- x }}",
        "{{ x -}}",
        "{# c #}",
        "{#- c\n -#}",
        "{% if x %}",
        "{% endif %}",
        "\n",
        "  ",
        "word",
        ",",
        "{% raw %}{{{% endraw %}",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=12))
def test_marks_change_nothing_and_literal_text_is_found_where_it_stands(pieces):
    template = "".join(pieces)
    try:
        plain = jinja2.Environment(keep_trailing_newline=True).from_string(template).render(x=7)
    except jinja2.TemplateSyntaxError:
        return
    rendered = render(template, {"x": 7})
    assert rendered.text == plain
    lines = template.split("\n")
    for offset, character in enumerate(plain):
        _, position = rendered.origin(offset)
        written = (lines[position.line - 1] + "\n")[position.column - 1 :]
        assert written.startswith("{{" if character == "7" else character)
