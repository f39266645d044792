"""The baseline of the benchmark: a hook as it is usually written, and never to be deployed.

It reads the row, then writes without a condition, through boto3's resource: two round trips, two winners for one serial,
and whatever the device says becomes a thing attribute.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    parameters = event["parameters"]
    item = table.get_item(Key={"serialNumber": parameters["SerialNumber"]}).get("Item")
    if not item or item.get("status") == "provisioned":
        return {"allowProvisioning": False, "parameterOverrides": {}}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    device_type = parameters["DeviceType"]
    thing_name = f"{device_type}-{parameters['SerialNumber']}"
    table.put_item(
        Item={
            **item,
            "status": "provisioning",
            "certificateId": event["certificateId"],
            "thingName": thing_name,
            "firmwareVersion": parameters["FirmwareVersion"],
            "manufacturer": parameters["Manufacturer"],
            "provisionedAt": now,
        }
    )
    print(f"allowed {thing_name}")
    return {
        "allowProvisioning": True,
        "parameterOverrides": {
            "ThingName": thing_name,
            "GroupName": f"{device_type}-devices",
            "PolicyName": f"fleetgate-{device_type}",
            "Location": item.get("location", "unknown"),
            "ProvisioningTime": now,
        },
    }
