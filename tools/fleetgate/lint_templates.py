"""Lints what a checkout makes: its Jinja policy templates, rendered for every device type, and its provisioning template.

A policy template that no device type uses is rendered with every type's values: it will be somebody's tomorrow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleetgate import catalogue, environment, names, policies, template
from fleetgate.errors import FleetgateError, Problem
from fleetgate.iot_policy import lint, source
from fleetgate.iot_policy.lint import Document, Finding, Place
from fleetgate.iot_policy.provisioning import Created
from fleetgate.iot_policy.rule import Bundle
from fleetgate.iot_policy.source import Pointer, SourceError
from fleetgate.lint_files import shown
from fleetgate.marked_templates import MarkingEnvironment, Rendered

#: Of a template that could pass lint as one policy and be deployed as another.
_MEASURES = Problem(
    "",
    "renders another text when its outputs carry marks, by which lint finds their lines: it measures or compares its own output",
    "let no expression depend on the text of a block, or of an include inside of {% set %}",
)


@dataclass(frozen=True)
class Outcome:
    """looked_at: the files that had a part in it."""

    findings: list[Finding]
    looked_at: list[str]


class Checkout:
    """The policies and the provisioning template of a checkout, for one environment."""

    def __init__(self, root: Path, environment_name: str) -> None:
        """Raises FleetgateError if catalogue or environment have mistakes."""
        self._root = root
        self._environment = environment.load(root, environment_name)
        self._catalogue = catalogue.read(root)
        self._names = names.derive(self._catalogue, self._environment)
        load = policies.loader(root)
        marking = policies.renderer(self._environment, load, MarkingEnvironment)
        assert isinstance(marking, MarkingEnvironment)
        self._marking = marking
        self._plain = policies.renderer(self._environment, load)
        #: The policies that were judged, by device type and `claim`.
        self.judged: dict[str, Any] = {}
        #: What was found in templates that are better not tried again.
        self._too_slow: dict[str, tuple[list[Finding], frozenset[str]]] = {}

    def lint_policies(self, chosen: Collection[str] | None = None) -> Outcome:
        """chosen: file names of policy templates; every policy that one of them has a part in is judged. None: all."""
        results = []
        looked_at: set[str] = set()
        for name, file, values in self._inputs():
            findings, used = self._lint_one(name, file, values)
            if chosen is None or file in chosen or used & set(chosen):
                results.append((name, findings))
                looked_at |= used
        return Outcome(list(_merged(results)), sorted(map(self._file, looked_at)))

    def lint_provisioning_template(self) -> Outcome:
        body = template.render(self._catalogue)
        code = self._root / "tools/fleetgate/template.py"
        file = shown(code if code.is_file() else self._root / catalogue.FILE)
        types = self._names.types.values()
        created = Created(
            frozenset(t.policy for t in types),
            frozenset(t.thing_type for t in types),
            frozenset(t.group for t in types) | {self._names.parent_group},
            frozenset(),
        )
        made = Document("provisioning template", body, template.to_document(body), lambda pointer: Place(file, 1, 1, pointer))
        findings = lint.lint_template(made, name=self._names.template, fleet=True, hook=True, created=created)
        return Outcome(findings, [file])

    def _inputs(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """What is to be rendered: a name for messages, the template's file name and its values."""
        used = set()
        for name, (file, values) in policies.inputs(self._catalogue, self._names).items():
            used.add(file)
            yield name, file, values
        for path in sorted((self._root / policies.FOLDER).glob(policies.template_file("[!_]*"))):
            if path.name not in used:
                for name, kind in self._catalogue.device_types.items():
                    yield name, path.name, policies.device_values(self._catalogue, self._names, name, kind)

    def _lint_one(self, name: str, file: str, values: dict[str, Any]) -> tuple[list[Finding], frozenset[str]]:
        """The findings of one rendered policy and the templates that it came from."""
        if file in self._too_slow:
            return self._too_slow[file]
        try:
            with policies.bounded():
                rendered = self._marking.render(file, values)
                plain = self._plain.get_template(file).render(values)
        except policies.RENDER_ERRORS as error:
            failed, line = policies.failed_at(error, file)
            told = [self._told(policies.render_problem(error, file, values), failed, line)], frozenset({file, failed})
            if isinstance(error, policies.FUTILE):
                self._too_slow[file] = told
            return told
        except FleetgateError as error:  # of the loader: a template that cannot be read
            unread = [problem.where.removeprefix(f"{policies.FOLDER}/") for problem in error.problems]
            found = [self._told(problem, name_) for problem, name_ in zip(error.problems, unread, strict=True)]
            return found, frozenset({file, *unread})
        differs: list[Finding] = []
        if rendered.text != plain:  # which is what is deployed
            rendered = Rendered.unmarked(plain, file, rendered.templates)
            differs.append(self._told(_MEASURES, file))
        if problem := policies.too_long(rendered.text, file):
            return [*differs, self._told(problem, file)], rendered.templates
        try:
            parsed = source.parse(rendered.text)
        except SourceError as error:
            offset = source.offset_at(rendered.text, error.position)
            found = [*differs, lint.not_json(self._place(rendered, offset, ""), f"the result is {error}")]
            return found, rendered.templates
        self.judged.setdefault(name, parsed.value)  # of templates that no type uses, which come last, nothing is deployed

        def locate(pointer: Pointer) -> Place:
            return self._place(rendered, parsed.offset(pointer), pointer)

        made = Document(name, parsed.value, parsed.text, locate, parsed)
        settings = self._environment.settings
        context = Bundle(
            (),
            complete=True,
            claim=name == policies.CLAIM,
            account=settings.account_id,
            region=settings.region,
            templates=(self._names.template,),
        )
        return [*differs, *lint.lint_duplicates(made), *lint.lint_policies([made], context)], rendered.templates

    def _told(self, problem: Problem, template: str, line: int = 0) -> Finding:
        return lint.not_json(Place(self._file(template), line or 1, 1, ""), problem.what, problem.remedy)

    def _place(self, rendered: Rendered, offset: int, pointer: Pointer) -> Place:
        file, position = rendered.origin(offset)
        return Place(self._file(file), position.line, position.column, pointer)

    def _file(self, name: str) -> str:
        return shown(self._root / policies.FOLDER / name)


def _merged(results: list[tuple[str, list[Finding]]]) -> Iterator[Finding]:
    """One finding for one place in a template, however many policies it is in; it says in which."""
    merged: dict[tuple[Any, ...], tuple[Finding, list[str]]] = {}
    for name, findings in results:
        seen: dict[tuple[Any, ...], int] = {}
        for finding in findings:
            place = (finding.file, finding.line, finding.column, finding.pointer, finding.rule)
            # A place may have several findings of one rule; the second of one policy belongs to the second of another.
            seen[place] = seen.get(place, 0) + 1
            merged.setdefault((*place, seen[place]), (finding, []))[1].append(name)
    for finding, names_ in merged.values():
        yield replace(finding, message=f"{finding.message} (in the policy of {policies.some(names_)})")
