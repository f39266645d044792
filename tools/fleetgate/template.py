"""The provisioning template's body: how a device that the gate has let in becomes a thing with certificate, group and policy.

The hook decides every value; the template only wires them. Each `Ref` names a declared parameter, no intrinsic function is used,
and there is exactly one certificate [aws: Provisioning templates]. All device types share one template.
"""

from __future__ import annotations

import json
from typing import Any

from fleetgate.catalogue import Catalogue, DeviceType
from fleetgate.errors import fail

#: Characters of a template body [botocore iot TemplateBody].
MAXIMUM_SIZE = 10240
#: The service provides this one; declaring it is what consoles and samples do, and both spellings work.
CERTIFICATE_ID = "AWS::IoT::Certificate::Id"
#: A certificate belongs to one thing: within its token's hour it could otherwise register for a second serial as well, and
#: hold both things' policies. The embedded cloud ignores it; on AWS, thing variables resolve for an exclusive certificate at
#: least where the client id is the thing name, which our policies ask for anyway.
THING_PRINCIPAL_TYPE = "EXCLUSIVE_THING"
#: What a device sends. Location is the one it may leave out.
DEVICE_PARAMETERS = ("SerialNumber", "DeviceType", "Manufacturer", "FirmwareVersion", "Location")
#: What the hook adds; a device cannot send them.
HOOK_PARAMETERS = ("ThingName", "ThingTypeName", "GroupName", "PolicyName", "ProvisioningTime")
#: The value of an extra attribute that only other types have.
UNKNOWN = "unknown"


def extra_parameter(attribute: str) -> str:
    """The parameter that carries an extra attribute."""
    return f"Extra_{attribute}"


def extra_values(catalogue: Catalogue, kind: DeviceType) -> dict[str, str]:
    """A value for every extra parameter, for a device of `kind`; the hook gets them in its slice of the catalogue."""
    return {extra_parameter(name): kind.attributes.get(name, UNKNOWN) for name in catalogue.extra_attributes}


def render(catalogue: Catalogue) -> dict[str, Any]:
    """The template body. Raises FleetgateError if it would be over AWS's limit."""
    extras = catalogue.extra_attributes
    parameters = [*DEVICE_PARAMETERS, *HOOK_PARAMETERS, *map(extra_parameter, extras), CERTIFICATE_ID]
    body = {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": _ref("ThingName"),
                    "ThingTypeName": _ref("ThingTypeName"),
                    "ThingGroups": [_ref("GroupName")],
                    "AttributePayload": {
                        "serialNumber": _ref("SerialNumber"),
                        "deviceType": _ref("DeviceType"),
                        "firmwareVersion": _ref("FirmwareVersion"),
                        "manufacturer": _ref("Manufacturer"),
                        "location": _ref("Location"),
                        "provisioningTime": _ref("ProvisioningTime"),
                        **{attribute: _ref(extra_parameter(attribute)) for attribute in extras},
                    },
                },
                # A thing that is registered again (the service retries) keeps type and group and gets fresh attributes. Not
                # FAIL for the type: AWS's text allows the reading that it fails for the same type too.
                "OverrideSettings": {"AttributePayload": "MERGE", "ThingTypeName": "DO_NOTHING", "ThingGroups": "DO_NOTHING"},
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": _ref(CERTIFICATE_ID),
                    "Status": "ACTIVE",
                    "ThingPrincipalType": THING_PRINCIPAL_TYPE,
                },
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": _ref("PolicyName")}},
        },
    }
    over = len(to_document(body)) - MAXIMUM_SIZE
    if over > 0:
        raise fail(
            "catalogue/device_types.yaml",
            f"the provisioning template is {over} characters over {MAXIMUM_SIZE}",
            "use fewer attributes",
        )
    return body


def to_document(body: dict[str, Any]) -> str:
    """The body without white space, as it is sent to AWS."""
    return json.dumps(body, separators=(",", ":"))


def _ref(parameter: str) -> dict[str, str]:
    return {"Ref": parameter}
