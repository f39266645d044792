"""The actions of AWS IoT policies, and on what they act. Data as of 2026-11.

[AWS IoT Core: policy actions; action resources; botocore's iot-data and iot-jobs-data models]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from fleetgate.iot_policy import pattern


@dataclass(frozen=True, slots=True)
class Action:
    """name: as AWS writes it. resources: the resource types it is checked against, empty for `*`. mqtt: asked for over MQTT.

    https: asked for over the HTTPS API.
    """

    name: str
    resources: tuple[str, ...]
    mqtt: bool = False
    https: bool = False


_SHADOW = ("GetThingShadow", "UpdateThingShadow", "DeleteThingShadow")
_JOBS = ("DescribeJobExecution", "GetPendingJobExecutions", "StartNextPendingJobExecution", "UpdateJobExecution")

ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        action.name.lower(): action
        for action in (
            Action("iot:Connect", ("client",), mqtt=True),
            Action("iot:Publish", ("topic",), mqtt=True, https=True),
            Action("iot:RetainPublish", ("topic",), mqtt=True, https=True),
            Action("iot:Receive", ("topic",), mqtt=True),
            Action("iot:Subscribe", ("topicfilter",), mqtt=True),
            Action("iot:GetRetainedMessage", ("topic",), https=True),
            Action("iot:ListRetainedMessages", (), https=True),
            *(Action(f"iot:{name}", ("thing",), https=True) for name in _SHADOW),
            Action("iot:ListNamedShadowsForThing", (), https=True),
            *(Action(f"iotjobsdata:{name}", ("thing",), https=True) for name in _JOBS),
            *(Action(f"iot:{name}", ("thing",), https=True) for name in _JOBS),
            Action("iot:AssumeRoleWithCertificate", ("rolealias",), https=True),
            Action("iot:DeleteConnection", ("client",), https=True),
            Action("iot:GetConnection", ("client",), https=True),
            Action("iot:ListSubscriptions", ("client",), https=True),
            Action("iot:SendDirectMessage", ("client",), https=True),
        )
    }
)

SHADOW_ACTIONS = tuple(f"iot:{name}" for name in _SHADOW)
JOB_ACTIONS = tuple(f"iotjobsdata:{name}" for name in _JOBS)
#: What the documentation of 2023 calls the job actions; which of the two is enforced is not documented.
OLD_JOB_ACTIONS = tuple(f"iot:{name}" for name in _JOBS)


@lru_cache(maxsize=4096)
def matching(text: str) -> tuple[Action, ...]:
    """The known actions that an action of a policy stands for; wildcards allowed, case of no importance."""
    exact = ACTIONS.get(text.lower())
    if exact is not None:
        return (exact,)
    if "*" not in text and "?" not in text:
        return ()
    wanted = pattern.parse(text.lower(), variables=False)
    return tuple(action for name, action in ACTIONS.items() if wanted.matches(name))
