"""Takes devices and certificates away for good. Every function may be run again and finishes what was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from botocore.exceptions import ClientError

from fleetgate import aws
from fleetgate.errors import fail

#: Detaching a thing is asynchronous on AWS, "several seconds" by its own account.
DETACH_SECONDS = 60.0


def remove_device(
    thing_name: str, policies: Collection[str] | None = None, tell: Callable[[str], object] = lambda _: None
) -> list[str]:
    """Deletes a thing with its shadows and its certificates; returns the ids of the certificates that are gone.

    The certificates come first: from then on nobody can act as the device. A certificate that another thing uses as well, or that
    holds any but these policies, a claim's or a backend's, is only detached, and told. policies: None where those that the thing
    has are known to be its own.
    """
    iot = aws.client("iot")
    removed = []
    for principal in _principals(iot, thing_name):
        certificate_id = principal.rpartition("/")[2]
        others = [other for other in _things(iot, principal) if other != thing_name]
        foreign = _foreign(iot, principal, policies) if ":cert/" in principal and policies is not None else []
        if ":cert/" in principal and not others and not foreign:
            remove_certificate(certificate_id)
            removed.append(certificate_id)
            continue
        _tolerant(iot.detach_thing_principal, thingName=thing_name, principal=principal)
        if foreign:
            tell(f"certificate {certificate_id}: detached from {thing_name} and kept, it holds {_named(foreign)}")
    _remove_shadows(thing_name)
    _until_free(lambda: _tolerant(iot.delete_thing, thingName=thing_name), f"thing {thing_name}")
    return removed


def is_there(thing_name: str) -> bool:
    return _tolerant(aws.client("iot").describe_thing, thingName=thing_name) is not None


def principals(thing_name: str) -> set[str]:
    """What is attached to a thing: ids of certificates, and names of other principals. Empty if there is no such thing."""
    return {principal.rpartition("/")[2] for principal in _principals(aws.client("iot"), thing_name)}


def things_of(certificate_id: str) -> list[str]:
    """The things that a certificate is attached to. Empty if there is no such certificate."""
    iot = aws.client("iot")
    arn = _arn(iot, certificate_id)
    return _things(iot, arn) if arn else []


def certificates_with(policy: str) -> Iterator[str]:
    """The ids of the certificates that hold a policy; none if there is no such policy."""
    for target in _pages(aws.client("iot"), "list_targets_for_policy", "targets", policyName=policy):
        if ":cert/" in target:
            yield target.rpartition("/")[2]


def remove_certificate(certificate_id: str) -> None:
    """Deactivates, detaches and deletes a certificate."""
    iot = aws.client("iot")
    if arn := _arn(iot, certificate_id):
        _remove_certificate(iot, certificate_id, arn)


def release_certificate(certificate_id: str, policies: Collection[str], tell: Callable[[str], object] = lambda _: None) -> bool:
    """Removes a certificate that no thing uses and that holds no other policies. Returns whether it is gone.

    One that a thing still uses, or that somebody has given policies of his own, is not ours: it stays, only loses these policies,
    and is told if it had any.
    """
    iot = aws.client("iot")
    arn = _arn(iot, certificate_id)
    if arn is None:
        return True
    things, held = _things(iot, arn), _policies(iot, arn)
    foreign = sorted(set(held) - set(policies))
    if not things and not foreign:
        _remove_certificate(iot, certificate_id, arn)
        return True
    for policy in set(held) & set(policies):
        _tolerant(iot.detach_policy, policyName=policy, target=arn)
    if len(foreign) < len(held):
        why = [f"holds {_named(foreign)}"] * bool(foreign) + [f"is used by {', '.join(things)}"] * bool(things)
        tell(f"certificate {certificate_id}: kept without our policies, it {' and '.join(why)}")
    return False


def _remove_certificate(iot: Any, certificate_id: str, arn: str) -> None:
    _tolerant(iot.update_certificate, certificateId=certificate_id, newStatus="INACTIVE")
    for policy in _policies(iot, arn):
        _tolerant(iot.detach_policy, policyName=policy, target=arn)
    for thing in _things(iot, arn):
        _tolerant(iot.detach_thing_principal, thingName=thing, principal=arn)
    _until_free(lambda: _tolerant(iot.delete_certificate, certificateId=certificate_id), f"certificate {certificate_id}")


def _remove_shadows(thing_name: str) -> None:
    data = aws.iot_data()
    token: dict[str, str] = {}
    while True:
        # A cloud that knows no such operation (the embedded one) says InvalidRequestException.
        page = _tolerant(data.list_named_shadows_for_thing, "InvalidRequestException", thingName=thing_name, **token) or {}
        for shadow in page.get("results", []):
            _tolerant(data.delete_thing_shadow, thingName=thing_name, shadowName=shadow)
        if not page.get("nextToken"):
            break
        token = {"nextToken": page["nextToken"]}
    _tolerant(data.delete_thing_shadow, thingName=thing_name)


def _arn(iot: Any, certificate_id: str) -> str | None:
    found = _tolerant(iot.describe_certificate, certificateId=certificate_id)
    return str(found["certificateDescription"]["certificateArn"]) if found else None


def _principals(iot: Any, thing_name: str) -> list[str]:
    return list(_pages(iot, "list_thing_principals", "principals", thingName=thing_name))


def _things(iot: Any, principal: str) -> list[str]:
    return list(_pages(iot, "list_principal_things", "things", principal=principal))


def _policies(iot: Any, arn: str) -> list[str]:
    return [policy["policyName"] for policy in _pages(iot, "list_attached_policies", "policies", target=arn)]


def _foreign(iot: Any, arn: str, policies: Collection[str]) -> list[str]:
    """The policies that a certificate holds beside these."""
    return sorted(set(_policies(iot, arn)) - set(policies))


def _named(policies: list[str]) -> str:
    return f"policies that are not ours: {', '.join(policies)}"


def _pages(iot: Any, operation: str, key: str, **arguments: str) -> Iterator[Any]:
    try:
        for page in iot.get_paginator(operation).paginate(**arguments):
            yield from page[key]
    except iot.exceptions.ResourceNotFoundException:
        return


def _tolerant(operation: Any, *codes: str, **arguments: Any) -> Any:
    """The answer, or None if what it is about is gone already, or for one of the other error `codes`."""
    try:
        return operation(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ResourceNotFoundException", *codes):
            return None
        raise


def _until_free(delete: Any, what: str) -> None:
    """Deletes as soon as the service has noticed that nothing is attached any more."""
    deadline = time.monotonic() + DETACH_SECONDS
    pause = 0.2
    while True:
        try:
            delete()
            return
        except ClientError as error:
            code = error.response["Error"]["Code"]
            # DeleteThing says InvalidRequestException while a certificate is attached.
            if code not in ("DeleteConflictException", "CertificateStateException", "InvalidRequestException"):
                raise
            if time.monotonic() > deadline:
                remedy = "see what is attached to it in the AWS console, then run the same command again"
                raise fail(what, f"cannot be deleted: {error.response['Error']['Message']:.200}", remedy) from None
        time.sleep(pause)
        pause = min(pause * 2, 5.0)
