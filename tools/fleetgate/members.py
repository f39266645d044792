"""The types whose policies are held against each other: those of the catalogue, or one for each policy file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.errors import FleetgateError, Problem, fail, printable
from fleetgate.iot_policy import documents, grants, model, source
from fleetgate.iot_policy.grants import Scope
from fleetgate.iot_policy.isolation import Member, declared
from fleetgate.iot_policy.thing_names import NameSpace

if TYPE_CHECKING:
    from fleetgate.build import Fleet

CLAIM = "claim"


def of_fleet(fleet: Fleet) -> tuple[list[Member], Scope]:
    """The device types in the catalogue's order and, last, the holder of a claim certificate."""
    from fleetgate.policies import partition
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


def of_files(paths: Sequence[Path]) -> tuple[list[Member], tuple[Scope, ...]]:
    """One type for each file, under the file's name. Raises FleetgateError with every file that is no policy."""
    problems: list[Problem] = []
    found: dict[str, Member] = {}
    for path in paths:
        name = printable(path.stem)
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            problems.append(Problem(str(path), "is no file", "give a policy in JSON"))
            continue
        try:
            parsed = source.parse(path.read_bytes())
        except source.SourceError as error:
            where = f"{path}:{error.position.line}:{error.position.column}"
            problems.append(Problem(where, str(error), "give a policy as JSON"))
            continue
        except OSError as error:
            problems.append(Problem(str(path), error.strerror or str(error), "check that it exists and that you may read it"))
            continue
        if isinstance(parsed.value, dict) and documents.iam(parsed.value):
            # It lets devices do nothing, so that everything about it would be proven.
            problems.append(Problem(str(path), "is an IAM policy, not one of AWS IoT", "give a policy of AWS IoT"))
            continue
        policy = model.read(parsed.value, name)
        problems += (Problem(f"{path}:{parsed.position(flaw.pointer).line}", flaw.message, flaw.fix) for flaw in policy.flaws)
        if name in found:
            problems.append(Problem(str(path), f"another file is named {name}, too", "rename one: a file's name is its type's"))
        thing_type = name if re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", name) else None
        found[name] = Member(name, (policy,), thing_type=thing_type)
    if problems:
        raise FleetgateError(problems)
    if not found:
        raise fail("isolation", "no policy is given", "name policy files, or none for the catalogue's")
    members = list(found.values())
    return members, grants.scopes([policy for member in members for policy in member.policies])
