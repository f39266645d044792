"""The tables of quotas and prices: data files with sources and dates, and a user's own on top of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fleetgate.errors import FleetgateError, Problem, fail

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
QUOTAS, PRICES = "quotas.toml", "prices.toml"
#: What the simulation and the costs ask for by name, and so cannot do without.
SERVED = ("connect", "create_keys", "register_thing")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Strict):
    """Where figures come from: an address, and the day on which it was looked at."""

    address: str
    as_of: date


class Quota(_Strict):
    """A service quota. See the head of quotas.toml for the keys; rates are a second, numbers are at one time."""

    title: str
    counts: Literal["rate", "connections", "lambda", "writes"]
    per_second: Positive | None = None
    small_per_second: Positive | None = None
    number: Positive | None = None
    small_number: Positive | None = None
    by_device: NotNegative = 0.0
    daily: str | None = None
    behind: Literal["register_thing"] | None = None
    adjustable: bool
    status: Literal["documented", "assumption", "applied"]
    source: str
    note: str = ""

    @model_validator(mode="after")
    def _has_a_value(self) -> Quota:
        if (self.per_second if self.counts == "rate" else self.number) is None:
            raise ValueError(f"needs {'per_second' if self.counts == 'rate' else 'number'}")
        return self

    def value(self, size: str) -> float:
        """The quota in a large or small Region."""
        large, small = (self.per_second, self.small_per_second) if self.counts == "rate" else (self.number, self.small_number)
        return float((small if size == "small" and small is not None else large) or 0.0)


class Model(_Strict):
    """How requests and quotas meet in the simulation; seconds, and a factor."""

    burst_seconds: Positive
    request_seconds: NotNegative
    fixed_pause_seconds: Positive
    restart_seconds: NotNegative
    headroom: Annotated[float, Field(ge=1, allow_inf_nan=False)]


class Quotas(_Strict):
    """quotas.toml with the user's file on top."""

    sources: dict[str, Source]
    regions: dict[str, Literal["large", "small"]]
    model: Model
    quotas: dict[str, Quota]

    def size(self, region: str) -> str:
        """Whether a Region has the larger defaults; one that nobody listed is taken to have the smaller ones."""
        return self.regions.get(region, "small")


class Tier(_Strict):
    """A price up to a quantity in a month; the last tier has no end."""

    usd: NotNegative
    up_to: Positive | None = None


class Price(_Strict):
    """What a unit of an item costs in a Region."""

    usd: NotNegative | None = None
    tiers: tuple[Tier, ...] | None = Field(default=None, strict=False)
    status: Literal["secondary", "assumption", "own"]
    source: str

    @model_validator(mode="before")
    @classmethod
    def _one_price(cls, value: Any) -> Any:
        # A user's plain price stands in the place of tiers.
        if isinstance(value, dict) and ("usd" in value) == ("tiers" in value):
            raise ValueError("needs either usd or tiers")
        return value

    @model_validator(mode="after")
    def _tiers_rise(self) -> Price:
        ends = [tier.up_to for tier in self.tiers or ()]
        if self.tiers is not None:
            bounds = [end for end in ends[:-1] if end is not None]
            if not ends or ends[-1] is not None or len(bounds) != len(ends) - 1 or bounds != sorted(set(bounds)):
                raise ValueError("tiers need rising up_to, and a last one without it")
        return self


class Item(_Strict):
    """Something that AWS bills; `per` of it is one unit of its price."""

    title: str
    unit: str
    per: Positive


class Prices(_Strict):
    """prices.toml with the user's file on top. usage: see its comments."""

    currency: str
    sources: dict[str, Source]
    usage: dict[str, NotNegative]
    items: dict[str, Item]
    prices: dict[str, dict[str, Price]]


_Table = TypeVar("_Table", Quotas, Prices)


@cache
def default_rate(quota: str) -> int:
    """A rate of the shipped table, a second, as AWS has it in a large Region. Reads no more than that: every command needs it."""
    return int(_shipped(QUOTAS)["quotas"][quota]["per_second"])


def quotas(text: str | None = None, file: str = "", applied: Mapping[str, float] | None = None) -> Quotas:
    """The table of quotas, with a user's `text` of `file` on top. Raises FleetgateError with every mistake.

    applied: rates a second of an environment, between the two.
    """
    table = _load(Quotas, QUOTAS, text, file, {"quotas": {name: {"per_second": rate} for name, rate in (applied or {}).items()}})
    where = file or QUOTAS
    usage = prices().usage
    problems = [
        Problem(f"{where} quotas.{name}.daily", f"{quota.daily!r} is no key of usage", f"use one of {', '.join(usage)}")
        for name, quota in table.quotas.items()
        if quota.daily is not None and quota.daily not in usage
    ]
    problems += _unknown_sources(where, "quotas", {name: q.source for name, q in table.quotas.items()}, table.sources)
    _raise(problems)
    return table


def prices(text: str | None = None, file: str = "") -> Prices:
    """The table of prices, with a user's `text` of `file` on top. Raises FleetgateError with every mistake."""
    table = _load(Prices, PRICES, text, file)
    shipped = _shipped(PRICES)
    where = file or PRICES
    problems = [
        Problem(f"{where} {section}.{key}", "is unknown", f"use one of {', '.join(shipped[section])}")
        for section, found in (("usage", table.usage), ("items", table.items))
        for key in found
        if key not in shipped[section]
    ]
    for region, found in table.prices.items():
        problems += _unknown_sources(where, f"prices.{region}", {k: p.source for k, p in found.items()}, table.sources)
        missing = [key for key in table.items if key not in found]
        if missing:
            problems.append(Problem(f"{where} prices.{region}", f"has no {', '.join(missing)}", "add the missing prices"))
        problems += [
            Problem(f"{where} prices.{region}.{key}", "is no item", f"use one of {', '.join(table.items)}")
            for key in found
            if key not in table.items
        ]
    _raise(problems)
    return table


def check_region(region: str, table: Prices, where: str = "--region") -> None:
    """Raises FleetgateError if there are no prices for the Region. where: it is said."""
    if region not in table.prices:
        known = ", ".join(sorted(table.prices))
        raise fail(
            where, f"there are no prices for {region!r}", f"use one of {known}, or give [prices.{region}] by --prices FILE"
        )


def _shipped(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / name).read_text(encoding="utf-8"))


def _load(kind: type[_Table], name: str, text: str | None, file: str, between: Mapping[str, Any] | None = None) -> _Table:
    data = _merged(_shipped(name), between or {})
    if text is not None:
        try:
            own = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise fail(file, f"is not TOML: {error}", f"mend it there; {name} shows the form") from None
        data = _merged(data, own)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise FleetgateError([_problem(file or name, name, dict(item)) for item in error.errors()]) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` on top of `below`, table by table. A price is one thing: of usd and tiers, the one given replaces the other."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if not isinstance(value, dict) or not isinstance(old, dict):
            merged[key] = value
            continue
        rest = {k: v for k, v in old.items() if not ({"usd", "tiers"} & value.keys() and k in ("usd", "tiers"))}
        priced = {"status": "own"} if rest.keys() != old.keys() and "status" not in value else {}
        applied = {"status": "applied"} if {"per_second", "number"} & value.keys() and "status" not in value else {}
        merged[key] = _merged(rest, value | priced | applied)
        if {"per_second", "number"} & value.keys():
            # What somebody has applied holds in the Region they mean, whatever its size.
            merged[key] = {k: v for k, v in merged[key].items() if not (k.startswith("small_") and k not in value)}
    return merged


def _problem(where: str, name: str, error: Mapping[str, Any]) -> Problem:
    path = ".".join(str(part) for part in error["loc"])
    what, kind = str(error["msg"]), error["type"]
    remedy = f"write it as the package's {name} does; docs/capacity.md says what each key is"
    if kind == "extra_forbidden":
        what, remedy = "is unknown", f"remove it, or look for its right name in the package's {name}"
    elif kind == "missing":
        what = "is missing"
    elif kind in ("greater_than", "greater_than_equal", "finite_number"):
        remedy = f"write a number that fits, instead of {error['input']!r}"
    return Problem(f"{where} {path}".strip(), what.removeprefix("Value error, "), remedy)


def _unknown_sources(where: str, path: str, used: Mapping[str, str], known: Mapping[str, Source]) -> list[Problem]:
    return [
        Problem(f"{where} {path}.{key}.source", f"{source!r} is no source", f"add [sources.{source}] with address and as_of")
        for key, source in used.items()
        if source not in known
    ]


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise FleetgateError(problems)
