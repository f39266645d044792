"""Takes devices away: before Terraform destroys what they hang on, or before a device type leaves the catalogue.

Terraform knows nothing of the things and certificates that devices got for themselves, and cannot destroy a policy or a thing
type that one of them still uses. What is ours is told by the registry and by our policies, whose names no other stack can have;
things that merely have one of our types may be somebody else's, and are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fleetgate import aws, decommission, progress

#: AWS detaches 15 policies a second per account: more hands than this only wait.
PARALLEL = 8


@dataclass(frozen=True)
class DeployedType:
    """A device type as it is deployed, which the catalogue may have forgotten since. None: what an interrupted destroy took."""

    name: str
    policy: str | None
    thing_type: str | None


@dataclass(frozen=True)
class Devices:
    """Names of things; ids of certificates; names of the policies that are ours."""

    things: list[str]
    certificates: list[str]
    policies: list[str]


def close_gate(template: str) -> None:
    """Disables the provisioning template, so that no device comes in while others are taken away."""
    iot = aws.client("iot")
    try:
        iot.update_provisioning_template(templateName=template, enabled=False)
    except iot.exceptions.ResourceNotFoundException:
        return


def find(table: str | None, types: Iterable[DeployedType]) -> Devices:
    """The devices of these types, from the registry and from the policies that their certificates hold."""
    wanted = list(types)
    rows = list(_rows(table, {device_type.name for device_type in wanted})) if table else []
    things = {row["thingName"] for row in rows if "thingName" in row}
    known = {row["certificateId"] for row in rows if "certificateId" in row}
    policies = [device_type.policy for device_type in wanted if device_type.policy]
    held = {certificate for policy in policies for certificate in _certificates_with(policy)}
    iot = aws.client("iot")
    for certificate in held - known:  # rotated, or made outside of the gate
        things.update(_things_of(iot, certificate))
    return Devices(sorted(things), sorted(held | known), policies)


def strangers(types: Iterable[DeployedType]) -> list[str]:
    """Things that have one of these types. After a drain they are somebody else's, and keep Terraform from removing the type."""
    iot = aws.client("iot")
    found: list[str] = []
    for thing_type in filter(None, (device_type.thing_type for device_type in types)):
        pages = iot.get_paginator("list_things").paginate(thingTypeName=thing_type)
        found += [thing["thingName"] for page in pages for thing in page["things"]]
    return found


def remove(devices: Devices, say: Callable[[str], None]) -> None:
    """Removes the devices. Running it again finishes what was interrupted."""
    _each("removing devices", devices.things, decommission.remove_device)
    # Their certificates went with them; left are those of devices that were cut off half-way, and those that somebody has
    # given to a thing of his own as well: they lose our policies and stay.
    _each("removing certificates", devices.certificates, lambda certificate: _release(certificate, devices.policies))
    say(f"  removed {len(devices.things)} devices, and what certificates were left")


def _each(label: str, names: list[str], work: Callable[[str], Any]) -> None:
    if names:
        with progress.bar(label, len(names)) as bar, ThreadPoolExecutor(PARALLEL) as pool:
            for _ in pool.map(work, names):
                bar.advance()


def _release(certificate: str, policies: list[str]) -> None:
    iot = aws.client("iot")
    if not list(_things_of(iot, certificate)):
        decommission.remove_certificate(certificate)
        return
    arn = iot.describe_certificate(certificateId=certificate)["certificateDescription"]["certificateArn"]
    for policy in policies:
        iot.detach_policy(policyName=policy, target=arn)


def _certificates_with(policy: str) -> Iterator[str]:
    iot = aws.client("iot")
    try:
        for page in iot.get_paginator("list_targets_for_policy").paginate(policyName=policy):
            yield from (target.rpartition("/")[2] for target in page["targets"] if ":cert/" in target)
    except iot.exceptions.ResourceNotFoundException:
        return


def _things_of(iot: Any, certificate: str) -> Iterator[str]:
    try:
        arn = iot.describe_certificate(certificateId=certificate)["certificateDescription"]["certificateArn"]
    except iot.exceptions.ResourceNotFoundException:
        return
    for page in iot.get_paginator("list_principal_things").paginate(principal=arn):
        yield from page["things"]


def _rows(table: str, types: set[str]) -> Iterator[dict[str, str]]:
    """Registry rows of these types that the hook has written to, as plain text."""
    dynamodb = aws.client("dynamodb")
    try:
        pages = dynamodb.get_paginator("scan").paginate(
            TableName=table,
            ProjectionExpression="deviceType, thingName, certificateId",
            FilterExpression="attribute_exists(certificateId)",
            ConsistentRead=True,
        )
        for page in pages:
            rows = ({name: value["S"] for name, value in item.items()} for item in page["Items"])
            yield from (row for row in rows if row.get("deviceType") in types)
    except dynamodb.exceptions.ResourceNotFoundException:
        return
