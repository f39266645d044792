"""Takes a fleet's devices away before Terraform destroys what they hang on.

Terraform knows nothing of the things and certificates that devices got for themselves, and cannot destroy a policy or a thing
type that one of them still uses. The gate is closed first, so that no device comes in behind the broom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fleetgate import aws, decommission, progress
from fleetgate.build import Fleet

#: AWS detaches 15 policies a second per account: more hands than this only wait.
PARALLEL = 8


def drain(fleet: Fleet, say: Callable[[str], None]) -> int:
    """Removes every device of the fleet; returns how many things there were. Running it again finishes what was interrupted."""
    iot = aws.client("iot")
    _close_gate(iot, fleet.names.template)
    things = _things(iot, fleet)
    if things:
        _each("removing devices", things, decommission.remove_device)
    # Certificates without a thing: of devices that were cut off half-way, or whose thing somebody deleted.
    left = sorted({*_certificates_with(iot, fleet), *_certificates_in_registry(fleet.names.table)})
    if left:
        _each("removing certificates", left, decommission.remove_certificate)
    say(f"  drained {len(things)} devices, {len(left)} certificates without a device")
    return len(things)


def _each(label: str, names: list[str], remove: Callable[[str], Any]) -> None:
    with progress.bar(label, len(names)) as bar, ThreadPoolExecutor(PARALLEL) as pool:
        for _ in pool.map(remove, names):
            bar.advance()


def _close_gate(iot: Any, template: str) -> None:
    try:
        iot.update_provisioning_template(templateName=template, enabled=False)
    except iot.exceptions.ResourceNotFoundException:
        return


def _things(iot: Any, fleet: Fleet) -> list[str]:
    """Every thing of the fleet's types. By type and not by group: a thing can leave its group, but never its type."""
    found: list[str] = []
    for names in fleet.names.types.values():
        pages = iot.get_paginator("list_things").paginate(thingTypeName=names.thing_type)
        found += [thing["thingName"] for page in pages for thing in page["things"]]
    return found


def _certificates_with(iot: Any, fleet: Fleet) -> Iterable[str]:
    """Ids of the certificates that a device policy is attached to."""
    for names in fleet.names.types.values():
        try:
            pages = iot.get_paginator("list_targets_for_policy").paginate(policyName=names.policy)
            targets = [target for page in pages for target in page["targets"]]
        except iot.exceptions.ResourceNotFoundException:
            continue
        yield from (target.rpartition("/")[2] for target in targets if ":cert/" in target)


def _certificates_in_registry(table: str) -> Iterable[str]:
    dynamodb = aws.client("dynamodb")
    try:
        pages = dynamodb.get_paginator("scan").paginate(
            TableName=table, ProjectionExpression="certificateId", FilterExpression="attribute_exists(certificateId)"
        )
        for page in pages:
            yield from (item["certificateId"]["S"] for item in page["Items"])
    except dynamodb.exceptions.ResourceNotFoundException:
        return
