"""Takes devices away: before Terraform destroys what they hang on, or before a device type leaves the catalogue.

Terraform knows nothing of the things and certificates that devices got for themselves, and cannot destroy a policy or a thing
type that one of them still uses. What is ours is told by the registry and by our policies, whose names no other stack can have.
But anybody may attach them to what is his: a certificate that holds other policies too, and what a thing has that has not a name
and a type of ours, only lose ours. Things that merely have one of our types may be somebody else's, and are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fleetgate import aws, decommission, progress
from fleetgate.audit import Deed
from fleetgate.errors import count
from fleetgate.registry import Registry

#: AWS detaches 15 policies a second per account: more hands than this only wait.
PARALLEL = 8
_SHOWN = 10


@dataclass(frozen=True)
class DeployedType:
    """A device type as it is deployed, which the catalogue may have forgotten since. None: what an interrupted destroy took."""

    name: str
    policy: str | None
    thing_type: str | None


@dataclass(frozen=True)
class Devices:
    """Names of things; ids of certificates; names of the policies that are ours; the registry's table; serials: with the
    certificate that each has in it; owners: by their thing, those of them that have one. others: somebody else's things, whose
    certificates hold a policy of ours."""

    things: list[str]
    certificates: list[str]
    policies: list[str]
    table: str | None
    serials: dict[str, str]
    owners: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def steps(self) -> list[str]:
        """What `remove` is about to do, in a few lines."""
        things = []
        if self.things:
            things.append(f"{count(len(self.things), 'device')} with shadows and certificates: {_some(self.things)}")
        certificates = f"{count(len(self.certificates), 'certificate')}: deleted, or without our policies if others use them"
        return [*things, f"{certificates} or they hold policies of others", *self.kept()]

    def kept(self) -> list[str]:
        """What is told of somebody else's."""
        return [f"thing {name}: kept, it has not a name and a type of ours" for name in self.others]


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
    owners = {row["thingName"]: row["serialNumber"] for row in rows}
    things = set(owners)
    serials = {row["serialNumber"]: row["certificateId"] for row in rows}
    known = set(serials.values())
    policies = [device_type.policy for device_type in wanted if device_type.policy]
    held = {certificate for policy in policies for certificate in decommission.certificates_with(policy)}
    # Rotated, or made outside of the gate, or somebody else's.
    users = {thing for certificate in held - known for thing in decommission.things_of(certificate)} - things
    others = {thing for thing in users if not _is_ours(thing, wanted)}
    return Devices(sorted(things | users - others), sorted(held | known), policies, table, serials, owners, sorted(others))


def strangers(types: Iterable[DeployedType]) -> list[str]:
    """Things that have one of these types. After a drain they are somebody else's, and keep Terraform from removing the type."""
    iot = aws.client("iot")
    found: list[str] = []
    for thing_type in filter(None, (device_type.thing_type for device_type in types)):
        pages = iot.get_paginator("list_things").paginate(thingTypeName=thing_type)
        found += [thing["thingName"] for page in pages for thing in page["things"]]
    return found


def remove(devices: Devices, say: Callable[[str], None], deed: Deed, *, free_serials: bool = True) -> None:
    """Removes the devices. Running it again finishes what was interrupted.

    deed: gets each device as a part once it is gone, and at the end, whatever that is, how many. free_serials: sets their
    registry rows back, so that the serials may come in again; not worth a write each before the table itself is destroyed.
    """
    gone: list[str] = []
    released: list[str] = []
    freed: list[bool] = []
    kept = devices.kept()

    def take_away(thing: str) -> None:
        owner = devices.owners.get(thing, thing)
        try:
            decommission.remove_device(thing, devices.policies, kept.append)
        except BaseException:
            deed.part(owner, f"thing {thing}: begun to remove", complete=False)
            raise
        gone.append(thing)
        deed.part(owner, f"thing {thing}: removed with its certificates")

    def release(certificate: str) -> None:
        decommission.release_certificate(certificate, devices.policies, kept.append)
        released.append(certificate)

    try:
        progress.each("removing devices", devices.things, take_away, PARALLEL)
        # Their certificates went with them; left are those of devices that were cut off half-way, and those that somebody has
        # given to a thing of his own, or policies of his own: they lose our policies and stay.
        progress.each("removing certificates", devices.certificates, release, PARALLEL)
        said = f"  removed {count(len(devices.things), 'device')}, and what certificates were left"
        if free_serials and devices.table is not None:
            registry = Registry(devices.table)
            # Last: it is by its row that a run after an interrupted one finds a device.
            held = list(devices.serials.items())
            progress.each("freeing serial numbers", held, lambda one: freed.append(registry.free(*one)), PARALLEL)
            said += f"; {count(sum(freed), 'serial number')} may come in again"
    finally:
        if gone:
            deed.did(f"{count(len(gone), 'device')} removed with shadows and certificates: {_some(sorted(gone))}")
        if released:
            deed.did(f"{count(len(released), 'certificate')}: deleted, or without our policies if others use them")
        for line in sorted(kept)[:_SHOWN]:
            deed.did(line)
        if any(freed):
            deed.did(f"{count(sum(freed), 'serial number')} may come in again")
    for line in sorted(kept):
        say(f"  {line}")
    say(said)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _is_ours(thing: str, types: Iterable[DeployedType]) -> bool:
    """Whether a thing that no row leads to has the name, as in names.derive, and the type that the gate gives."""
    named = [kind.thing_type for kind in types if kind.thing_type and thing.startswith(f"{kind.thing_type}-")]
    if not named:
        return False  # and not asked for: the deployer may look at no such thing
    iot = aws.client("iot")
    try:
        return iot.describe_thing(thingName=thing).get("thingTypeName") in named
    except iot.exceptions.ResourceNotFoundException:
        return False


def _rows(table: str, types: set[str]) -> Iterator[dict[str, str]]:
    """Registry rows of these types that lead to a thing, as plain text. The hook writes all of their attributes at once."""
    dynamodb = aws.client("dynamodb")
    try:
        pages = dynamodb.get_paginator("scan").paginate(
            TableName=table,
            ProjectionExpression="serialNumber, deviceType, thingName, certificateId",
            # A drained row that was revoked keeps its certificate's id, as history.
            FilterExpression="attribute_exists(thingName) AND attribute_exists(certificateId)",
            ConsistentRead=True,
        )
        for page in pages:
            rows = ({name: value["S"] for name, value in item.items()} for item in page["Items"])
            yield from (row for row in rows if row.get("deviceType") in types)
    except dynamodb.exceptions.ResourceNotFoundException:
        return
