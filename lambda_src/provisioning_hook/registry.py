"""The one network call of the hook: a conditional write that leases a serial number to a certificate.

botocore rather than boto3: the hook has five seconds, cold start included, and boto3 adds only import time to this one
call.
"""

from __future__ import annotations

from typing import Any, Protocol

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from botocore.loaders import Loader
from decision import Claim, Held, Leased, Outcome, Row, Unavailable, timestamp

# Answers that another moment may change. Everything else DynamoDB refuses with is ours to mend, and raises.
_PASSING = frozenset(
    {
        "InternalServerError",
        "InternalServerErrorException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "ThrottlingException",
        "TransactionConflictException",
    }
)

# A row is free if it is registered or its lease has run out, and it is of the device's type and maker. One that is not
# there fails every comparison, so an allow list needs no attribute_exists.
_FREE = (
    "(deviceType = :type AND (attribute_not_exists(manufacturer) OR manufacturer = :manufacturer)"
    " AND (#status = :registered OR (#status = :provisioning AND leaseExpiresAt <= :now)))"
)
_FREE_OR_NEW = f"attribute_not_exists(serialNumber) OR {_FREE}"
# A new lease begins a new life: times of an earlier one would keep the onboarding function from writing its own. The row's
# manufacturer is the operator's alone: if a device could write it, a stranger's lease would lock the true device out.
_UPDATE = (
    "SET #status = :provisioning, certificateId = :certificate, claimCertificateId = :claim, thingName = :thing,"
    " deviceType = :type, firmwareVersion = :firmware, leasedAt = :now,"
    " leaseExpiresAt = :expires, registeredAt = if_not_exists(registeredAt, :today)"
    " REMOVE provisionedAt, firstConnectedAt"
)


class Client(Protocol):
    """The part of botocore's DynamoDB client that the hook uses."""

    def update_item(self, **request: object) -> dict[str, Any]: ...


class _OneService(Loader):  # type: ignore[misc] # botocore is not typed
    """botocore's data files without the search: it would list the folder of each of its 400 services to find one."""

    def list_available_services(self, type_name: str) -> list[str]:
        return ["dynamodb"]


def connect() -> Client:
    """A DynamoDB client whose two attempts fit into the hook's four seconds, from the environment Lambda gives.

    A silent or refusing DynamoDB costs two seconds and the retry's pause (one at most). A network that is slow in every
    phase at once can cost more; Lambda's time-out ends the call then, which AWS takes as a denial too.
    """
    config = Config(
        connect_timeout=1,
        read_timeout=1,
        retries={"mode": "standard", "total_max_attempts": 2},
        # The requests are built here from checked values and have one shape; checking them again costs time only.
        parameter_validation=False,
    )
    session = botocore.session.get_session()
    session.register_component("data_loader", _OneService())
    client: Client = session.create_client("dynamodb", config=config)
    return client


def lease(client: Client, table: str, claim: Claim, now_ms: int, lease_ms: int) -> Outcome:
    """Lease `claim`'s serial to its certificate if it is free, in one request that says what stood in the way if not.

    A retry whose first attempt was written after all finds its own certificate in the row and is let through.
    """
    try:
        response = client.update_item(
            TableName=table,
            Key={"serialNumber": {"S": claim.serial}},
            ConditionExpression=_FREE_OR_NEW if claim.open_enrolment else _FREE,
            UpdateExpression=_UPDATE,
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":type": {"S": claim.device_type},
                ":manufacturer": {"S": claim.manufacturer},
                ":firmware": {"S": claim.firmware},
                ":thing": {"S": claim.thing_name},
                ":certificate": {"S": claim.certificate_id},
                ":claim": {"S": claim.claim_certificate_id},
                ":registered": {"S": "registered"},
                ":provisioning": {"S": "provisioning"},
                ":now": {"N": str(now_ms)},
                ":expires": {"N": str(now_ms + lease_ms)},
                ":today": {"S": timestamp(now_ms)},
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            item = error.response.get("Item")
            return Held(to_row(item) if item else None)
        if code in _PASSING or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            return Unavailable()
        raise
    except (ConnectionError, HTTPClientError):
        return Unavailable()
    return Leased(to_row(response["Attributes"]))


def to_row(item: dict[str, dict[str, str]]) -> Row:
    """DynamoDB's typed attributes as a row; attributes the decision does not need are left out."""

    def value(name: str) -> str | None:
        typed = item.get(name)
        return None if typed is None else next(iter(typed.values()))

    leased_at = value("leasedAt")
    return Row(
        device_type=value("deviceType"),
        status=value("status"),
        manufacturer=value("manufacturer"),
        location=value("location"),
        certificate_id=value("certificateId"),
        leased_at=None if leased_at is None else int(leased_at),
    )
