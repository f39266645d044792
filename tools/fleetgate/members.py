"""The types whose policies are held against each other: those of the catalogue, or one for each policy file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate import policy_files
from fleetgate.errors import FleetgateError, Problem, fail, printable
from fleetgate.iot_policy import grants, model
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.grants import Scope
from fleetgate.iot_policy.isolation import Member, declared
from fleetgate.iot_policy.model import Policy
from fleetgate.iot_policy.thing_names import NameSpace

if TYPE_CHECKING:
    from fleetgate.build import Fleet


def of_fleet(fleet: Fleet) -> tuple[list[Member], Scope]:
    """The device types in the catalogue's order and, last, the holder of a claim certificate."""
    from fleetgate.policies import CLAIM, partition
    from fleetgate.template import THING_PRINCIPAL_TYPE

    exclusive = (THING_PRINCIPAL_TYPE == "EXCLUSIVE_THING",)
    found = []
    for name, kind in fleet.catalogue.device_types.items():
        names = fleet.names.types[name]
        found.append(
            Member(
                name,
                (model.read(fleet.policies[name], name),),
                NameSpace(names.thing_prefix, kind.serial_pattern, (kind.canary_serial,), colons=False),
                names.thing_type,
                tuple(declared(topic.replace("{type}", name)) for topic in kind.topics.publish),
                tuple(declared(topic.replace("{type}", name)) for topic in kind.topics.subscribe),
                tuple(kind.publishes_on_behalf_of),
                exclusive,
            )
        )
    found.append(Member(CLAIM, (model.read(fleet.policies[CLAIM], CLAIM),), claim=True))
    settings = fleet.environment.settings
    return found, Scope(partition(settings.region), settings.region, settings.account_id)


def of_files(given: Sequence[str | Path]) -> tuple[list[Member], tuple[Scope, ...]]:
    """One type for each `FILE`, under the file's name, or `NAME=FILE,FILE`: all policies of one certificate.

    Raises FleetgateError with every file that is no policy.
    """
    problems: list[Problem] = []
    found: dict[str, Member] = {}
    for text in map(str, given):
        name, files = _type(text)
        if name in found:
            remedy = f"rename one, or write {name}=FILE,FILE if one certificate has both: a file's name is its type's"
            problems.append(Problem(text, f"another file is named {name}, too", remedy))
            continue
        policies: dict[str, Policy] = {}
        for file in files:
            called = name if len(files) == 1 else f"{name}/{printable(Path(file).stem)}"
            if called in policies:
                problems.append(Problem(file, f"another file of {name} has the same name", "rename one"))
                continue
            try:
                policies[called] = policy_files.read(file, called).policy
            except FleetgateError as error:
                problems += error.problems
        found[name] = Member(name, tuple(policies.values()), given=True)  # of what thing type its things are, it does not say
    if problems:
        raise FleetgateError(problems)
    if not found:
        raise fail("isolation", "no policy is given", "name policy files, or none for the catalogue's")
    members = list(found.values())
    try:
        return members, grants.scopes([policy for member in members for policy in member.policies])
    except Undecided as error:
        raise fail("isolation", f"is asked about {error}", "write the account and the Region out") from None


def _type(text: str) -> tuple[str, list[str]]:
    name, equals, files = text.partition("=")
    if equals and name and "/" not in name and not Path(text).exists():
        return printable(name), files.split(",")
    return printable(Path(text).stem), [text]
