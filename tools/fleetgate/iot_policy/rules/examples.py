"""How the rules write their examples: short policies of one imaginary plant."""

from __future__ import annotations

from typing import Any

ARN = "arn:aws:iot:eu-central-1:111122223333"
THING = "${iot:Connection.Thing.ThingName}"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: str | list[str], *resources: str, **condition: Any) -> dict[str, Any]:
    """condition: by operator."""
    return _statement("Allow", action, resources, condition)


def deny(action: str | list[str], *resources: str, **condition: Any) -> dict[str, Any]:
    return _statement("Deny", action, resources, condition)


def _statement(effect: str, action: str | list[str], resources: tuple[str, ...], condition: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": effect, "Action": action, "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


#: Connects as the thing that its certificate is attached to, which is what AWS recommends.
CONNECT = allow("iot:Connect", f"{ARN}:client/{THING}", Bool={"iot:Connection.Thing.IsAttached": "true"})
