"""Looks up the facts of a diagnosis, as far as these credentials and this cloud can tell; changes nothing.

What may not be read is noted as unseen with its reason, and the rest is looked at all the same: somebody on call has rarely every
permission.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from fleetgate import aws, claims, device_view, diagnosis_logs, identity, near
from fleetgate.build import Fleet
from fleetgate.device_view import Certificate
from fleetgate.diagnosis import Claim, Facts, Hook, Kind, Look, Message, Policy, Template, Thing
from fleetgate.errors import FleetgateError
from fleetgate.names import TypeNames
from fleetgate.registry import Registry, Row

T = TypeVar("T")

_BUSY = ("ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException", "RequestLimitExceeded")
_UNSUPPORTED = ("InvalidRequestException", "UnsupportedOperation", "UnknownOperationException", "NotImplemented")
_CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}")
#: More claims than this no environment has in use at once; the rest would cost a call each for nothing.
_MAXIMUM_CLAIMS = 20
#: What the template's role does, by what it is checked against [module provisioning].
_THING_ACTIONS = ("iot:CreateThing", "iot:DescribeThing", "iot:AddThingToThingGroup")
_CERTIFICATE_ACTIONS = ("iot:UpdateCertificate", "iot:AttachPolicy", "iot:DescribeCertificate")
_OTHER_ACTIONS = ("iot:AttachThingPrincipal",)


#: Whose permission a look takes, where it is not AWS IoT's.
_SERVICES = {
    Look.REGISTRY: "dynamodb",
    Look.SIMILAR_SERIALS: "dynamodb",
    Look.HOOK: "lambda",
    Look.HOOK_CONCURRENCY: "lambda",
    Look.HOOK_PERMISSION: "lambda",
    Look.DEAD_LETTERS: "sqs",
}
#: And whose an operation takes that a look of another service needs.
_OTHERS = {
    "FilterLogEvents": "logs",
    "GetMetricStatistics": "cloudwatch",
    "SimulatePrincipalPolicy": "iam",
}


@dataclass
class _Sight:
    """What could be seen. unseen: the rest, and why. is_embedded: of a cloud that does not know all."""

    is_embedded: bool
    unseen: dict[Look, str] = field(default_factory=dict)
    untold: set[Look] = field(default_factory=set)

    def see(self, look: Look, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in aws.DENIED:
                why = f"these credentials may not: they need {permission(look, error)}"
            elif code in _BUSY:
                why = "AWS was too busy to say, ask again"
            elif code in _UNSUPPORTED:
                why = "this cloud cannot tell" if self.is_embedded else f"AWS did not take the question: {code}"
                if self.is_embedded and look not in self.unseen:
                    self.untold.add(look)
            else:
                raise
            self.unseen.setdefault(look, why)
        except FleetgateError as error:
            self.unseen.setdefault(look, f"{error.problems[0].where} {error.problems[0].what}")
        return otherwise


def permission(look: Look, error: ClientError) -> str:
    """The permission that was missing: AWS mostly names it, and an operation is mostly called like its own."""
    told = re.search(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)", str(error.response["Error"].get("Message", "")))
    service = _OTHERS.get(error.operation_name, _SERVICES.get(look, "iot"))
    return told[1] if told else f"{service}:{error.operation_name}"


def serial_of(fleet: Fleet, table: Registry, who: str) -> str:
    """The serial number of a device, from that, its thing's name, or the client id that it connects with."""
    wanted = serials_in(fleet, who)
    for serial in wanted:
        if _quietly(lambda serial=serial: table.get(serial)):  # type: ignore[misc]
            return serial
    # A thing of a type that has left the catalogue says its serial number itself.
    attributes = _quietly(lambda: _attributes(who)) or {}
    return str(attributes.get("serialNumber") or wanted[0])


def serial_behind(fleet: Fleet, table: Registry, who: str) -> str | None:
    """The registered serial number behind a thing's name or a client id; None if the word is none of those."""
    return next((serial for serial in serials_in(fleet, who) if serial != who and table.get(serial)), None)


def serials_in(fleet: Fleet, who: str) -> list[str]:
    """What a word may stand for, the likeliest first: part of a claim's client id, of a thing's name, or the word itself."""
    prefixes = sorted((names.thing_prefix for names in fleet.names.types.values()), key=len, reverse=True)
    found = [who.removeprefix(p) for p in prefixes if who.startswith(p) and who != p]
    if who.startswith(fleet.names.claim_client_prefix):  # <prefix>SERIAL-<8 hex>, see device.Gate; other firmware may add nothing
        rest = who.removeprefix(fleet.names.claim_client_prefix)
        found = [re.sub(r"-[0-9a-f]{8}$", "", rest), rest, *found]
    patterns = [kind.serial_pattern for kind in fleet.catalogue.device_types.values()]
    words = list(dict.fromkeys([*found, who]))
    return sorted(words, key=lambda word: not any(re.fullmatch(pattern, word, re.ASCII) for pattern in patterns))


def _attributes(name: str) -> dict[str, str]:
    if not re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", name):
        return {}
    iot = aws.client("iot")
    try:
        found: dict[str, str] = iot.describe_thing(thingName=name).get("attributes", {})
    except iot.exceptions.ResourceNotFoundException:
        return {}
    return found


def _quietly(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ClientError:
        return None  # it is read again, and then told


def collect(
    fleet: Fleet,
    table: Registry,
    serial: str | None,
    message: Message | None,
    claim: str | None,
    device_type: str | None,
    since: float,
) -> Facts:
    """All facts about a device, or without a serial about the gate. claim: a name or a certificate id. since: hours of logs."""
    sight = _Sight(fleet.environment.settings.embedded_cloud is not None)
    now_ms = int(time.time() * 1000)
    since_ms = now_ms - int(since * 3_600_000)
    row = sight.see(Look.REGISTRY, lambda: table.get(serial) if serial else None, None)
    none: list[dict[str, Any]] = []
    nobody: list[str] = []
    found = sight.see(Look.HOOK_LOG, lambda: diagnosis_logs.decisions_about(fleet, serial, since_ms), none)
    kind = _type_of(fleet, serial, row, device_type)
    name = device_view.thing_name_of(fleet, serial, row) if serial else None
    if name is None and serial and kind:
        name = fleet.names.types[kind].thing(serial)
    used = _used_claims(fleet, claim, row, found)
    hook = _hook(fleet, sight, since_ms)
    thing = sight.see(Look.THING, lambda: _thing(name, sight) if name else None, None)
    no_certificates: list[Certificate] = []
    held = sight.see(Look.CERTIFICATES, lambda: device_view.certificates_of(name if thing else None, row)[0], no_certificates)
    return Facts(
        env=fleet.environment.name,
        now_ms=now_ms,
        serial=serial,
        thing_name=name,
        message=message,
        claims=tuple(sight.see(Look.CLAIMS, lambda: _claims(fleet, hook, used), [])),
        used_claims=used,
        active_claims=_active_claims(fleet),
        claim_policy=sight.see(
            Look.CLAIM_POLICY, lambda: _policy(fleet.names.claim_policy, fleet.policies["claim"]), Policy("", True)
        ),
        template=sight.see(Look.TEMPLATE, lambda: _template(fleet, name, sight), Template(fleet.names.template, True)),
        hook=hook,
        decisions=tuple(found),
        row=row,
        near=tuple(sight.see(Look.SIMILAR_SERIALS, lambda: _near(fleet, table, serial, row, sight), nobody)),
        kind=_kind(fleet, kind, sight) if kind else None,
        certificates=tuple(held),
        thing=thing,
        connection=sight.see(Look.CONNECTION, lambda: _connection(name) if name and thing else None, None),
        has_shadow=sight.see(Look.SHADOW, lambda: bool(name and thing and _has_shadow(name)), False),
        initial_shadow=_initial_shadow(fleet, kind),
        dead_letters=sight.see(Look.DEAD_LETTERS, lambda: _dead_letters(fleet), None),
        iot_log=tuple(diagnosis_logs.iot_log([c.certificate_id for c in held], since_ms)),
        unseen=sight.unseen,
        untold=frozenset(sight.untold),
    )


def _near(fleet: Fleet, table: Registry, serial: str | None, row: Row | None, sight: _Sight) -> list[str]:
    return near.similar(fleet, table, serial) if serial and row is None and Look.REGISTRY not in sight.unseen else []


def _type_of(fleet: Fleet, serial: str | None, row: Row | None, wanted: str | None) -> str | None:
    """The device type: the row's, the one that is asked for, or the only one that has such serials."""
    types = fleet.catalogue.device_types
    if row is not None:
        return str(row.get("deviceType")) if row.get("deviceType") in types else None
    if wanted is not None or serial is None:
        return wanted
    fitting = [name for name, kind in types.items() if re.fullmatch(kind.serial_pattern, serial, re.ASCII)]
    return fitting[0] if len(fitting) == 1 else None


# --- claims, template, hook ---


def _used_claims(fleet: Fleet, claim: str | None, row: Row | None, found: list[dict[str, Any]]) -> frozenset[str]:
    if claim is not None:
        return frozenset({_claim_id(fleet, claim)})
    newest = found[-1].get("claimCertificateId") if found else None
    return frozenset(
        {str(newest)} if newest else {str(row["claimCertificateId"])} if row and row.get("claimCertificateId") else ()
    )


def _claim_id(fleet: Fleet, claim: str) -> str:
    """By the certificate that lies here, or else by what Terraform knows."""
    from fleetgate import claim_rotation

    if _CERTIFICATE_ID.fullmatch(claim):
        return claim
    claims.require_claim(fleet.environment, claim)
    ids = {name: certificate_id for certificate_id, name in _named_claims(fleet).items()}
    return ids.get(claim) or claim_rotation.certificate_id_of(fleet.environment, claim)


def _named_claims(fleet: Fleet) -> dict[str, str]:
    """By certificate id: the names of the claims whose certificate lies here."""
    environment = fleet.environment
    named = {}
    for name in environment.settings.claims:
        try:
            text = (environment.claim_folder(name) / claims.CERTIFICATE_FILE).read_text(encoding="ascii")
            named[identity.certificate_id(text)] = name
        except (OSError, ValueError):
            continue
    return named


def _claims(fleet: Fleet, hook: Hook, used: frozenset[str]) -> list[Claim]:
    iot, named = aws.client("iot"), _named_claims(fleet)
    ids = used or (hook.claims or frozenset()) | set(_holders(iot, fleet.names.claim_policy)) | set(named)
    found = []
    for certificate_id in sorted(ids)[:_MAXIMUM_CLAIMS]:
        name = named.get(certificate_id)
        try:
            described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        except iot.exceptions.ResourceNotFoundException:
            found.append(Claim(certificate_id, name))
            continue
        attached = iot.list_attached_policies(target=described["certificateArn"])["policies"]
        policies = tuple(sorted(policy["policyName"] for policy in attached))
        is_retired = name is not None and not fleet.environment.settings.claims[name].active
        found.append(Claim(certificate_id, name, str(described["status"]), policies, is_retired))
    return found


def _active_claims(fleet: Fleet) -> dict[str, str]:
    ids = {name: certificate_id for certificate_id, name in _named_claims(fleet).items()}
    return {name: ids.get(name, "") for name, claim in fleet.environment.settings.claims.items() if claim.active}


def _holders(iot: Any, policy: str) -> Iterator[str]:
    try:
        for page in iot.get_paginator("list_targets_for_policy").paginate(policyName=policy):
            yield from (target.rpartition("/")[2] for target in page["targets"] if ":cert/" in target)
    except iot.exceptions.ResourceNotFoundException:
        return


def _policy(name: str, rendered: Mapping[str, Any]) -> Policy:
    iot = aws.client("iot")
    try:
        found = iot.get_policy(policyName=name)
    except iot.exceptions.ResourceNotFoundException:
        return Policy(name, is_there=False)
    return Policy(name, is_there=True, is_rendered=json.loads(found["policyDocument"]) == rendered)


def _template(fleet: Fleet, thing_name: str | None, sight: _Sight) -> Template:
    iot, name = aws.client("iot"), fleet.names.template
    try:
        found = iot.describe_provisioning_template(templateName=name)
    except iot.exceptions.ResourceNotFoundException:
        return Template(name, is_there=False)
    versions = iot.list_provisioning_template_versions(templateName=name)["versions"]
    lacks = sight.see(Look.PROVISIONING_ROLE, lambda: _role_lacks(fleet, found, thing_name or "thing"), None)
    return Template(
        name,
        is_there=True,
        is_enabled=bool(found.get("enabled")),
        is_rendered=json.loads(found["templateBody"]) == fleet.template_body,
        versions=len(versions),
        hook_arn=str((found.get("preProvisioningHook") or {}).get("targetArn", "")),
        role_lacks=tuple(lacks) if lacks is not None else None,
    )


def _role_lacks(fleet: Fleet, template: Mapping[str, Any], thing_name: str) -> list[str]:
    prefix = str(template["templateArn"]).partition(":provisioningtemplate/")[0]
    role = str(template["provisioningRoleArn"])
    names = next((n for n in fleet.names.types.values() if thing_name.startswith(n.thing_prefix)), None)
    thing = thing_name if names else f"{next(iter(fleet.names.types.values())).thing_prefix}x"
    return [
        *_denied(role, _THING_ACTIONS, f"{prefix}:thing/{thing}"),
        *_denied(role, _CERTIFICATE_ACTIONS, f"{prefix}:cert/{'0' * 64}"),
        *_denied(role, _OTHER_ACTIONS, "*"),
    ]


def _denied(role_arn: str, actions: tuple[str, ...], resource: str) -> list[str]:
    """Those of the actions that IAM would not let the role do. A role that is gone may nothing."""
    iam = aws.client("iam")
    try:
        answer = iam.simulate_principal_policy(PolicySourceArn=role_arn, ActionNames=list(actions), ResourceArns=[resource])
    except iam.exceptions.NoSuchEntityException:
        return list(actions)
    return [one["EvalActionName"] for one in answer["EvaluationResults"] if one["EvalDecision"] != "allowed"]


def _hook(fleet: Fleet, sight: _Sight, since_ms: int) -> Hook:
    name, client = fleet.names.hook, aws.client("lambda")

    def configuration() -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            return None
        return found

    unknown: dict[str, Any] | None = {}
    found = sight.see(Look.HOOK, configuration, unknown)
    if found is None:
        return Hook(name, is_there=False)
    listed = str(found.get("Environment", {}).get("Variables", {}).get("CLAIM_CERTIFICATE_IDS", ""))
    known = frozenset(listed.split(",")) if listed else None
    unlimited: dict[str, Any] = {}
    reserved = sight.see(Look.HOOK_CONCURRENCY, lambda: client.get_function_concurrency(FunctionName=name), unlimited)
    return Hook(
        name,
        is_there=True,
        arn=str(found.get("FunctionArn", "")),
        claims=known,
        is_callable=sight.see(Look.HOOK_PERMISSION, lambda: _is_callable(client, fleet), None),
        reserved=reserved.get("ReservedConcurrentExecutions"),
        throttled=sight.see(Look.HOOK_METRICS, lambda: diagnosis_logs.throttled(name, since_ms), None),
        may_write=sight.see(Look.HOOK_ROLE, lambda: _may_write(fleet, found), None),
        failure=sight.see(Look.HOOK_LOG, lambda: diagnosis_logs.failure(name, since_ms), None),
    )


def _is_callable(client: Any, fleet: Fleet) -> bool:
    settings = fleet.environment.settings
    source = f":iot:{settings.region}:{settings.account_id}:provisioningtemplate/{fleet.names.template}"
    try:
        policy = json.loads(client.get_policy(FunctionName=fleet.names.hook)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return False
    return lets_iot_call(policy.get("Statement", ()), source, settings.account_id)


def lets_iot_call(statements: Iterable[Mapping[str, Any]], source: str, account: str) -> bool:
    """Whether a resource policy lets AWS IoT call the function for a template. source: its ARN without the partition."""
    effects = {one.get("Effect") for one in statements if _is_about_iot(one, source, account)}
    return "Allow" in effects and "Deny" not in effects


def _is_about_iot(statement: Mapping[str, Any], source: str, account: str) -> bool:
    principal, actions = statement.get("Principal"), statement.get("Action", ())
    services = principal.get("Service", ()) if isinstance(principal, dict) else ()
    if principal != "*" and "iot.amazonaws.com" not in _listed(services):
        return False
    if not {"lambda:InvokeFunction", "lambda:*", "*"} & set(_listed(actions)):
        return False
    for values in statement.get("Condition", {}).values():
        for key, value in values.items():
            if key.lower() == "aws:sourcearn" and not any(_fits(pattern, source) for pattern in _listed(value)):
                return False
            if key.lower() == "aws:sourceaccount" and account not in _listed(value):
                return False
    return True


def _fits(pattern: str, source: str) -> bool:
    """Whether an ARN pattern covers the template, in whatever partition."""
    matcher = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return (
        re.fullmatch(matcher, f"arn:aws{source}") is not None
        or re.fullmatch(matcher, f"{pattern.split(':iot:')[0]}{source}") is not None
    )


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _may_write(fleet: Fleet, configuration: Mapping[str, Any]) -> bool | None:
    if "Role" not in configuration:
        return None
    partition = str(configuration["FunctionArn"]).split(":")[1]
    settings = fleet.environment.settings
    table = f"arn:{partition}:dynamodb:{settings.region}:{settings.account_id}:table/{fleet.names.table}"
    return not _denied(str(configuration["Role"]), ("dynamodb:UpdateItem",), table)


# --- the device ---


def _kind(fleet: Fleet, name: str, sight: _Sight) -> Kind:
    names: TypeNames = fleet.names.types[name]
    state = sight.see(Look.THING_TYPE, lambda: _thing_type_state(names.thing_type), "there")
    there = sight.see(Look.GROUP, lambda: _is_there("describe_thing_group", thingGroupName=names.group), True)
    policy = sight.see(Look.POLICY, lambda: _policy(names.policy, fleet.policies[name]), Policy(names.policy, True))
    is_open = fleet.catalogue.device_types[name].enrolment == "open"
    return Kind(name, names.thing_type, names.group, is_open, policy, state, there)


def _thing_type_state(name: str) -> str:
    iot = aws.client("iot")
    try:
        found = iot.describe_thing_type(thingTypeName=name)
    except iot.exceptions.ResourceNotFoundException:
        return "missing"
    return "deprecated" if found.get("thingTypeMetadata", {}).get("deprecated") else "there"


def _is_there(operation: str, **arguments: str) -> bool:
    iot = aws.client("iot")
    try:
        getattr(iot, operation)(**arguments)
    except iot.exceptions.ResourceNotFoundException:
        return False
    return True


def _thing(name: str, sight: _Sight) -> Thing | None:
    if not re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", name):
        return None
    iot = aws.client("iot")
    try:
        found = iot.describe_thing(thingName=name)
    except iot.exceptions.ResourceNotFoundException:
        return None

    def groups() -> tuple[str, ...]:
        pages = iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=name)
        return tuple(sorted(group["groupName"] for page in pages for group in page["thingGroups"]))

    return Thing(name, found.get("thingTypeName"), sight.see(Look.THING_GROUPS, groups, ()))


def _connection(name: str) -> Mapping[str, Any] | None:
    data = aws.iot_data()
    try:
        found = data.get_connection(clientId=name)
    except data.exceptions.ResourceNotFoundException:
        return None
    kept = ("connected", "connectedSince", "disconnectedSince", "disconnectReason")
    return {key: found[key] for key in kept if key in found}


def _has_shadow(name: str) -> bool:
    data = aws.iot_data()
    try:
        data.get_thing_shadow(thingName=name)
    except data.exceptions.ResourceNotFoundException:
        return False
    return True


def _initial_shadow(fleet: Fleet, kind: str | None) -> str:
    if kind is None:
        return "{}"
    desired = fleet.catalogue.device_types[kind].initial_shadow
    return json.dumps({"state": {"desired": desired}}, separators=(",", ":"))


def _dead_letters(fleet: Fleet) -> int | None:
    sqs = aws.client("sqs")
    try:
        url = sqs.get_queue_url(QueueName=fleet.names.onboarding_dead_letter)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        return None
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])
