"""The ids of what `fleetgate isolation` and `fleetgate access-diff` prove over a whole catalogue, and the limits of attachments.

A proof needs every type at once, so I01 to I04 have no check of their own here: those commands report under these ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fleetgate.iot_policy.rule import Hit, Rule, Severity, Subject, rule

if TYPE_CHECKING:
    from fleetgate.iot_policy.plan import Plan

_TESTED = "https://docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html"
_LIMITS = "https://docs.aws.amazon.com/general/latest/gr/iot-core.html#security-limits"
#: [quotas of AWS IoT Core]
MAXIMUM_POLICIES = 10
MAXIMUM_GROUP_POLICIES = 2


def _elsewhere(_: Any) -> Iterator[Hit]:
    """Reported by another command."""
    yield from ()


def _proven(id: str, title: str, severity: Severity, why: str) -> Rule[Any]:
    return Rule(id, title, severity, why, _TESTED, None, None, _elsewhere, Subject.OTHER)


reaches_another = _proven(
    "I01",
    "A device can act as another device",
    Severity.CRITICAL,
    "One stolen device would then speak for others, listen to them or change their shadows and jobs. `fleetgate isolation` "
    "proves for every pair of types that there is no such topic, or shows one.",
)
undeclared_flow = _proven(
    "I02",
    "A flow between types that the catalogue does not declare",
    Severity.HIGH,
    "A device can reach devices of another type on a way that nobody has planned. Declare the flow in the catalogue, or narrow "
    "the policies; `fleetgate isolation` shows the topic.",
)
new_access = _proven(
    "I03",
    "A change lets in what its base did not",
    Severity.MEDIUM,
    "Access grows one harmless looking wildcard at a time. `fleetgate access-diff` compares what the policies allow, not their "
    "text, and names a new action and topic.",
)
dead_topic = _proven(
    "I04",
    "A declared topic or flow is not granted",
    Severity.HIGH,
    "A device that may not do what its type declares is dead in the field, and AWS IoT disconnects it for trying. "
    "`fleetgate isolation` checks every declared topic.",
)


def _attached(*policies: str, target: str) -> dict[str, Any]:
    resources = [
        {
            "address": f"aws_iot_policy_attachment.a{number}",
            "mode": "managed",
            "type": "aws_iot_policy_attachment",
            "name": f"a{number}",
            "values": {"policy": name, "target": target},
        }
        for number, name in enumerate(policies)
    ]
    return {"format_version": "1.2", "planned_values": {"root_module": {"resources": resources}}}


_GROUP = "arn:aws:iot:eu-west-1:123456789012:thinggroup/pumps"


@rule(
    id="I05",
    title="More policies on one certificate or thing group than AWS IoT attaches",
    severity=Severity.MEDIUM,
    why="All policies of a certificate and of its thing's groups count together, and AWS IoT attaches ten to a certificate and "
    "two to a thing group. The attachment over that fails at apply, and what it should have allowed or denied is missing.",
    source=_LIMITS,
    fails=_attached("a", "b", "c", target=_GROUP),
    passes=_attached("a", "b", target=_GROUP),
    subject=Subject.PLAN,
)
def too_many_policies(plan: Plan) -> Iterator[Hit]:
    for target, attachments in plan.targets.items():
        limit = MAXIMUM_GROUP_POLICIES if target.is_group else MAXIMUM_POLICIES
        for extra in attachments[limit:]:
            what = f"{extra.resource.address} is policy {len(attachments)} of {target}, AWS IoT attaches {limit}"
            yield Hit(extra.resource.pointer, what, "put statements together, or remove an attachment")


RULES = (reaches_another, undeclared_flow, new_access, dead_topic, too_many_policies)
