"""Renders the IoT policies: one Jinja template per shape, one JSON policy per device type, plus the claim policy.

A template sees only what it needs: topics as lists of text, and the filters `topic`, `topicfilter` and `to_json` and the function
`client`, which write ARNs. A value that is missing is an error that names it; the result is parsed and dumped again, so that
what leaves this module is JSON in one spelling.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from fleetgate import document
from fleetgate.catalogue import Catalogue, DeviceType
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, Problem, fail
from fleetgate.names import Names

FOLDER = "policy_templates"
#: The policy of claim certificates, among the policies by device type.
CLAIM = "claim"
#: Characters of an IoT policy document, white space excluded [service quotas of AWS IoT Core].
MAXIMUM_SIZE = 2048
#: Characters of a rendered template; a policy has a fiftieth of it.
MAXIMUM_RENDERED = 100_000
#: For one template; milliseconds are usual.
MAXIMUM_SECONDS = 10
_MAXIMUM_BITS = 10_000
_MAXIMUM_MEMORY = 512 * 1024 * 1024
#: The thing that the connected certificate is attached to [IoT thing policy variables].
THING = "${iot:Connection.Thing.ThingName}"

Policy = dict[str, Any]


def size(policy: Policy) -> int:
    """Characters that count against the limit of 2048: all but white space."""
    return len("".join(json.dumps(policy, separators=(",", ":"), ensure_ascii=False).split()))


def to_text(policy: Policy) -> str:
    """The spelling of a policy in files, in Terraform and on AWS; deterministic, key order kept."""
    return json.dumps(policy, indent=2, ensure_ascii=False) + "\n"


def to_document(policy: Policy) -> str:
    """The same policy without white space, as it is sent to AWS."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def render(catalogue: Catalogue, environment: Environment, names: Names, load: Callable[[str], str | None]) -> dict[str, Policy]:
    """All policies by device type, and the claim policy under the key `claim`.

    `load` returns the text of a template by file name, or None. Raises FleetgateError with every template's mistakes.
    """
    jinja = renderer(environment, load)
    policies: dict[str, Policy] = {}
    # A template is told once, with all the policies that it spoils.
    problems: dict[Problem, list[str]] = {}
    too_slow: dict[str, Problem] = {}
    for name, (template, values) in inputs(catalogue, names).items():
        for problem in _render_one(jinja, name, template, values, policies, too_slow):
            problems.setdefault(problem, []).append(name)
    if problems:
        raise FleetgateError(replace(one, where=f"{one.where} (for {some(spoilt)})") for one, spoilt in problems.items())
    return policies


def some(names: Sequence[str]) -> str:
    """The first three of them, and how many there are more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def inputs(catalogue: Catalogue, names: Names) -> dict[str, tuple[str, dict[str, Any]]]:
    """What each policy is rendered from: the file name of its template, and the values that the template sees."""
    found = {
        name: (template_file(kind.shape), device_values(catalogue, names, name, kind))
        for name, kind in catalogue.device_types.items()
    }
    values = {"template": names.template, "claim_client_prefix": names.claim_client_prefix}
    return {**found, CLAIM: (template_file(CLAIM), values)}


def template_file(shape: str) -> str:
    return f"{shape}.json.j2"


def device_values(catalogue: Catalogue, names: Names, name: str, kind: DeviceType) -> dict[str, Any]:
    """What the template of a device type's policy sees."""

    def own(topic: str) -> str:
        return topic.replace("{type}", name).replace("{thing}", THING)

    # In the name of any thing of the type, of this fleet alone. Only the declared types, only telemetry.
    on_behalf = [
        topic.replace("{type}", other).replace("{thing}", f"{names.types[other].thing_prefix}*")
        for other in kind.publishes_on_behalf_of
        for topic in catalogue.device_types[other].topics.publish
    ]
    return {
        "thing": THING,
        "publish": [own(topic) for topic in kind.topics.publish],
        "subscribe": [own(topic) for topic in kind.topics.subscribe],
        "on_behalf": on_behalf,
    }


#: No path: what is included lies in the folder itself.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.j2")


def loader(root: Path) -> Callable[[str], str | None]:
    """Reads a checkout's templates by name. What lies elsewhere, by a path or a link, is not there: a template could print it.

    Raises FleetgateError if the folder itself is such a link.
    """
    if document.is_behind_link(root, FOLDER):
        raise fail(FOLDER, "is a symbolic link, or lies behind one", "put the folder itself there: no link is followed")

    def load(name: str) -> str | None:
        file = f"{FOLDER}/{name}"
        is_there = _NAME.fullmatch(name) and not document.is_behind_link(root, file) and (root / file).is_file()
        return document.read_text(root, file) if is_there else None

    return load


def renderer(
    environment: Environment, load: Callable[[str], str | None], kind: type[jinja2.Environment] = ImmutableSandboxedEnvironment
) -> jinja2.Environment:
    """The Jinja environment of policy templates. kind: `lint` takes one that remembers where its output comes from.

    Sandboxed: a pull request is linted before anybody has read it, and may neither run code nor read files.
    """
    arn = f"arn:{partition(environment.settings.region)}:iot:{environment.settings.region}:{environment.settings.account_id}"

    def named(name: str) -> tuple[str, str, None] | None:
        # The file's name is what an error's frames carry: `failed_at` finds the line by it.
        text = load(name)
        return None if text is None else (text, f"{FOLDER}/{name}", None)

    jinja = kind(
        loader=jinja2.FunctionLoader(named),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # JSON, not HTML: every value goes through to_json
        keep_trailing_newline=True,
    )
    # What lint judges is what is deployed: nothing may come out otherwise the next time.
    del jinja.filters["random"], jinja.globals["lipsum"]
    jinja.filters["topic"] = lambda topic: f"{arn}:topic/{topic}"
    jinja.filters["topicfilter"] = lambda topic: f"{arn}:topicfilter/{topic}"
    jinja.filters["to_json"] = _to_json
    jinja.globals["client"] = lambda client_id: f"{arn}:client/{client_id}"
    if isinstance(jinja, SandboxedEnvironment):  # which bounds range() by itself
        jinja.intercepted_binops = frozenset({"*", "**"})
        jinja.binop_table |= {"*": _times, "**": _power}
    return jinja


def _times(left: Any, right: Any) -> Any:
    """`"a" * 3000000000` would end the process, and so would a number of as many digits."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int) and len(one) * other > MAXIMUM_RENDERED:
            raise OverflowError(f"a product of more than {MAXIMUM_RENDERED} characters or items")
    if _bits(left) + _bits(right) > _MAXIMUM_BITS:
        raise OverflowError("a number that is too large")
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(right, int) and _bits(left) * abs(right) > _MAXIMUM_BITS:
        raise OverflowError("a number that is too large")
    return left**right


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


class TooSlow(ArithmeticError):
    """Of a template that takes too long."""


#: Of a template that is better not tried again with the values of another type.
FUTILE = (TooSlow, MemoryError)


@contextmanager
def bounded() -> Iterator[None]:
    """Around the rendering of one template: what needs too much memory or time is an error of RENDER_ERRORS.

    Jinja's sandbox keeps a template from files and code, but not from joining a text to itself thirty times. Time is only bounded
    in the main thread, and memory only on Linux and where no other thread runs: the bound is the whole process's.
    """
    with _bounded_memory(), _bounded_time():
        yield


#: What the process had before the first template, 0 before that.
_at_first = 0
#: From here on it is worth looking for what only cycles of objects hold, so that what templates take does not add up.
_MUCH = 64 * 1024 * 1024


def _used_memory() -> int:
    """Bytes of address space. OSError where it is not told."""
    import resource

    def now() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()

    global _at_first
    used = now()
    _at_first = _at_first or used
    if used - _at_first > _MUCH:
        gc.collect()
        used = now()
    return used


@contextmanager
def _bounded_memory() -> Iterator[None]:
    try:
        import resource

        if len(list(Path("/proc/self/task").iterdir())) > 1:
            raise OSError("another thread could not even start under this bound, and two renderings would undo each other's")
        before = resource.getrlimit(resource.RLIMIT_AS)
        used = _used_memory()
    except (ImportError, OSError):
        yield
        return
    limit = min([used + _MAXIMUM_MEMORY, *(bound for bound in before if bound != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _bounded_time() -> Iterator[None]:
    import signal
    import threading

    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TooSlow(f"it takes longer than {MAXIMUM_SECONDS} seconds")

    handler = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, MAXIMUM_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, handler)


def partition(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _to_json(value: Any) -> str:
    """Jinja's own tojson escapes for HTML, and writes an undefined value's error without its name."""
    if isinstance(value, jinja2.Undefined):
        value._fail_with_undefined_error()
    return json.dumps(value, ensure_ascii=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


#: What a mistake in a template can raise.
RENDER_ERRORS = (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError, MemoryError)


def failed_at(error: BaseException, template: str) -> tuple[str, int]:
    """The template and its line where it happened, 0 if unknown: Jinja gives its frames the templates' names and lines."""
    name, line = getattr(error, "name", None), getattr(error, "lineno", None)
    if isinstance(line, int) and isinstance(name, str):
        return name, line
    line, trace = 0, error.__traceback__
    while trace is not None:
        folder, _, found = trace.tb_frame.f_code.co_filename.rpartition("/")
        if folder == FOLDER:
            template, line = found, trace.tb_lineno
        trace = trace.tb_next
    return template, line


def render_problem(error: Exception, template: str, values: Mapping[str, Any]) -> Problem:
    """What a person can do about an error of RENDER_ERRORS."""
    file, line = failed_at(error, template)
    where = f"{FOLDER}/{file}" + (f":{line}" if line else "")
    if isinstance(error, jinja2.TemplateNotFound):
        return Problem(f"{FOLDER}/{error.name}", "there is no such template", "add it, or mend `shape` or `include`")
    if isinstance(error, jinja2.UndefinedError):
        return Problem(where, f"a variable is missing: {error}", f"use one of: {', '.join(sorted(values))}")
    if isinstance(error, jinja2.TemplateSyntaxError):
        return Problem(where, f"not a Jinja template: {error}", "mend the line")
    if isinstance(error, MemoryError):
        return Problem(where, "cannot be rendered: it takes too much memory", "mend the expression in the template")
    return Problem(where, f"cannot be rendered: {error}", "mend the expression in the template")


def too_long(text: str, template: str) -> Problem | None:
    """Of a template whose result is not worth parsing."""
    if len(text) <= MAXIMUM_RENDERED:
        return None
    what = f"the result has {len(text)} characters, a policy {MAXIMUM_SIZE} at most"
    return Problem(f"{FOLDER}/{template}", what, "mend the loops in the template")


def _render_one(
    jinja: jinja2.Environment,
    name: str,
    template: str,
    values: Mapping[str, Any],
    policies: dict[str, Policy],
    too_slow: dict[str, Problem],
) -> Iterator[Problem]:
    where = f"{FOLDER}/{template}"
    if template in too_slow:
        yield too_slow[template]
        return
    try:
        with bounded():
            text = jinja.get_template(template).render(values)
    except RENDER_ERRORS as error:
        problem = render_problem(error, template, values)
        if isinstance(error, FUTILE):
            too_slow[template] = problem
        yield problem
        return
    except FleetgateError as error:  # of the loader: a template that cannot be read
        yield from error.problems
        return
    if large := too_long(text, template):
        yield large
        return
    try:
        policy = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        # What is missing at the end stands one line behind the last.
        line = next(iter(text.splitlines()[error.lineno - 1 :]), "").strip()
        what = f"the result is not JSON: {error.msg} at line {error.lineno} of it: {line:.80}"
        yield Problem(where, what, "mend the template there")
        return
    except RecursionError:
        yield Problem(where, "the result is not a policy: it is nested too deeply", "mend the brackets in the template")
        return
    except ValueError as error:
        yield Problem(where, f"the result is not JSON: {error}", "write a number")
        return
    if not isinstance(policy, dict) or not {"Version", "Statement"} <= set(policy):
        yield Problem(where, "the result is not a policy", "give it Version and Statement")
        return
    over = size(policy) - MAXIMUM_SIZE
    if over > 0:
        what = f"the policy has {size(policy)} characters without white space, AWS IoT takes {MAXIMUM_SIZE}"
        yield Problem(where, what, f"save {over}: fewer or shorter topics in the catalogue")
    policies[name] = policy
