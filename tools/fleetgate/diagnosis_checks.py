"""The checks of a device's chain: each looks at facts and says what is wrong, what shows it, and what to do next. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fleetgate import times
from fleetgate.decisions import REASONS
from fleetgate.diagnosis import MAXIMUM_TEMPLATE_VERSIONS, SETTLE_MS, Cause, Claim, Facts, Finding, Look, Part, Stage, note
from fleetgate.registry import Row, time_of

_FORBIDDEN, _BAD_REQUEST, _TOO_MANY, _SERVER_ERROR = 403, 400, 429, 500
#: What is younger, `fleetgate orphans` leaves out unless --older-than says otherwise.
_ORPHAN_AGE_MS = 3_600_000
_THROTTLED_WORDS = ("throttl", "rate exceeded", "too many requests", "limit exceeded")


def _apply(facts: Facts) -> str:
    return f"fleetgate plan --env {facts.env} && fleetgate apply --env {facts.env}"


def _again(facts: Facts) -> str:
    return f"let the device try again, then: fleetgate doctor --env {facts.env} {facts.serial or 'SERIAL'}"


# --- the answer that the device got ---


def check_answer(facts: Facts) -> Iterator[Finding]:
    message = facts.message
    if message is None:
        return
    said = f"status {message.status} {message.code}: {message.text}".strip()
    text = f"{message.code} {message.text}".lower()
    if message.status == _TOO_MANY or any(word in text for word in _THROTTLED_WORDS):
        what = "AWS IoT had too many requests: by default it takes 10 certificates and 10 registrations a second"
        step = "let the device back off with jitter and try again; to see which quota to raise: fleetgate capacity --help"
        yield Finding(Stage.ANSWER, Cause.THROTTLED, what, step, said)
    elif "ownershiptoken" in text or "ownership token" in text:
        what = "the ownership token is empty, used up or older than an hour: its certificate is gone"
        step = "let the device ask for a new certificate (CreateKeysAndCertificate) and register that on the same connection"
        yield Finding(Stage.ANSWER, Cause.TOKEN_INVALID, what, step, said)
    elif message.status >= _SERVER_ERROR:
        what = "AWS IoT failed at it"
        yield Finding(
            Stage.ANSWER, Cause.SERVICE_FAILED, what, "let the device try again later; see https://health.aws.amazon.com", said
        )
    else:
        meaning = {
            _FORBIDDEN: "the hook said no or failed, or the template's role may not do its part",
            _BAD_REQUEST: "the template, or something that it names, is not there or not enabled; or a parameter is missing",
        }.get(message.status, "the request was refused")
        what = f"the device was refused ({meaning}), and nothing that was looked at explains it"
        step = f"fleetgate smoke --env {facts.env}"
        yield Finding(Stage.ANSWER, Cause.UNEXPLAINED, what, step, said)


def _see_answer(facts: Facts) -> str | None:
    return None if facts.message is None else f"status {facts.message.status}"


# --- claim ---


def check_claims(facts: Facts) -> Iterator[Finding]:
    if not facts.sees(Look.CLAIMS):
        return
    if not facts.claims:
        what = "no claim certificate is there"
        yield _gate(facts, Finding(Stage.CLAIM, Cause.CLAIM_MISSING, what, _apply(facts)))
    for claim in facts.claims:
        for finding in _check_claim(facts, claim):
            yield _gate(facts, finding)


def _check_claim(facts: Facts, claim: Claim) -> Iterator[Finding]:
    known = facts.hook.claims
    is_its = claim.certificate_id in facts.used_claims
    is_meant_to_be_active = known is None or claim.certificate_id in known
    rotate = f"fleetgate claim rotate {claim.name or 'CLAIM'} --env {facts.env}"
    if not (is_its or is_meant_to_be_active):
        return  # retired, and not what this device came with
    if claim.status is None:
        yield Finding(Stage.CLAIM, Cause.CLAIM_MISSING, f"claim {claim.label}: AWS does not have its certificate", _apply(facts))
        return
    if claim.status != "ACTIVE":
        what = f"claim {claim.label} is {claim.status}: who has it cannot connect"
        if claim.is_retired_here:
            applied = ", and that is not applied yet" if is_meant_to_be_active else ""
            evidence, step = f"it is retired in terraform/envs/{facts.env}.yaml{applied}", _other_claim(facts) or rotate
        elif is_meant_to_be_active:
            evidence = "the hook still takes it, so somebody switched it off past the environment's file"
            step = f"if that was a mistake: {_apply(facts)}; otherwise: {rotate}"
        else:
            evidence, step = "it is retired", f"give the factory an active claim, or make a new one: {rotate}"
        yield Finding(Stage.CLAIM, Cause.CLAIM_INACTIVE, what, step, f"certificate {claim.certificate_id}; {evidence}")
    if known is not None and claim.certificate_id not in known:
        what = f"the hook does not know claim {claim.label} and refuses whoever comes with it"
        step = f"if it is ours, make it active in terraform/envs/{facts.env}.yaml, then: {_apply(facts)}"
        yield Finding(Stage.CLAIM, Cause.CLAIM_UNKNOWN, what, step, f"the hook's CLAIM_CERTIFICATE_IDS has {len(known)} others")
    if claim.status == "ACTIVE" and facts.claim_policy.name and facts.claim_policy.name not in claim.policies:
        what = f"claim {claim.label} does not hold the policy {facts.claim_policy.name}: it may do nothing"
        held = ", ".join(claim.policies) or "none"
        yield Finding(Stage.CLAIM, Cause.CLAIM_POLICY_MISSING, what, _apply(facts), f"policies it holds: {held}")


def _other_claim(facts: Facts) -> str:
    """What a device with a retired claim comes in with; "" if the environment's file has no other."""
    known = facts.hook.claims
    ready = [name for name, held in facts.active_claims.items() if known is None or held in known]
    if ready:
        return f"use an active claim: {' or '.join(ready)}"
    waiting = " and ".join(facts.active_claims)
    return f"claim {waiting} stands in its place, and is not applied yet: {_apply(facts)}" if waiting else ""


def check_claim_policy(facts: Facts) -> Iterator[Finding]:
    policy = facts.claim_policy
    if not facts.sees(Look.CLAIM_POLICY):
        return
    if not policy.is_there:
        what = f"the policy {policy.name} is not there: no claim may do anything"
        yield _gate(facts, Finding(Stage.CLAIM, Cause.CLAIM_POLICY_MISSING, what, _apply(facts)))
    elif not policy.is_rendered:
        what = f"the policy {policy.name} is not the one of this checkout"
        evidence = f"compare: aws iot get-policy --policy-name {policy.name}, and build/{facts.env}/policies/claim.json"
        yield _gate(facts, Finding(Stage.CLAIM, Cause.CLAIM_POLICY_WRONG, what, _apply(facts), evidence))


def _see_claim(facts: Facts) -> str | None:
    known = facts.hook.claims
    shown = [c for c in facts.claims if c.certificate_id in facts.used_claims] or [
        c for c in facts.claims if known is None or c.certificate_id in known
    ]
    return ", ".join(f"{claim.label} {claim.status}" for claim in shown) or "no claim is looked at"


# --- template ---


def check_template(facts: Facts) -> Iterator[Finding]:
    template = facts.template
    if not facts.sees(Look.TEMPLATE):
        return
    if not template.is_there:
        what = f"the provisioning template {template.name} is not there"
        yield _gate(facts, Finding(Stage.TEMPLATE, Cause.TEMPLATE_MISSING, what, _apply(facts)))
        return
    if not template.is_enabled:
        what = f"the provisioning template {template.name} is disabled"
        step = f"aws iot update-provisioning-template --template-name {template.name} --enabled"
        evidence = "somebody has closed the gate, or fleetgate destroy was interrupted"
        yield _gate(facts, Finding(Stage.TEMPLATE, Cause.TEMPLATE_DISABLED, what, step, evidence))
    if template.is_rendered:
        return
    what = f"the template {template.name} is not the one of this checkout"
    if template.versions >= MAXIMUM_TEMPLATE_VERSIONS:
        what += f", and AWS takes no new version of it: it has {template.versions} of {MAXIMUM_TEMPLATE_VERSIONS}"
        step = f"{_apply(facts)} (which removes the oldest version first)"
        yield _gate(facts, Finding(Stage.TEMPLATE, Cause.TEMPLATE_OUT_OF_VERSIONS, what, step))
    else:
        yield note(Finding(Stage.TEMPLATE, Cause.TEMPLATE_CHANGED, what, _apply(facts)))


def _see_template(facts: Facts) -> str | None:
    return f"{facts.template.name} is enabled"


# --- hook ---


def check_hook(facts: Facts) -> Iterator[Finding]:
    hook, template = facts.hook, facts.template
    if not facts.sees(Look.HOOK):
        return
    if not hook.is_there:
        yield _gate(facts, Finding(Stage.HOOK, Cause.HOOK_MISSING, f"the function {hook.name} is not there", _apply(facts)))
        return
    if facts.sees(Look.TEMPLATE) and template.is_there and template.hook_arn != hook.arn:
        asked = template.hook_arn or "none"
        what = f"the template asks another hook than {hook.name}: {asked}"
        yield _gate(facts, Finding(Stage.HOOK, Cause.HOOK_NOT_ASKED, what, _apply(facts)))
    if hook.is_callable is False:
        what = f"AWS IoT may not call {hook.name}: its resource policy has no permission for iot.amazonaws.com and this template"
        evidence = f"aws lambda get-policy --function-name {hook.name}"
        yield _gate(facts, Finding(Stage.HOOK, Cause.HOOK_NOT_CALLABLE, what, _apply(facts), evidence))
    if hook.may_write is False:
        what = f"the role of {hook.name} may not write to the registry (dynamodb:UpdateItem)"
        evidence = "by iam:SimulatePrincipalPolicy"
        yield _gate(facts, Finding(Stage.HOOK, Cause.HOOK_LACKS_PERMISSION, what, _apply(facts), evidence))


def check_hook_throttled(facts: Facts) -> Iterator[Finding]:
    hook = facts.hook
    if hook.reserved == 0:
        what = f"{hook.name} is switched off: its reserved concurrency is 0, so Lambda turns every call away"
        step = f"aws lambda delete-function-concurrency --function-name {hook.name}"
        yield _gate(facts, Finding(Stage.HOOK, Cause.HOOK_THROTTLED, what, step))
    elif hook.throttled is not None and (facts.decision is None or facts.decision["atMilliseconds"] < hook.throttled.at_ms):
        what = f"Lambda turned calls of {hook.name} away: the account's concurrency, or its own, is used up"
        step = f"give it a share of the concurrency (docs/runbook.md, hook-throttles); {_again(facts)}"
        finding = Finding(
            Stage.HOOK, Cause.HOOK_THROTTLED, what, step, f"metric Throttles, last in the minute {hook.throttled.at}"
        )
        yield note(finding) if hook.throttled.is_over else _gate(facts, finding)


def check_hook_failures(facts: Facts) -> Iterator[Finding]:
    failure, decision = facts.hook.failure, facts.decision
    if failure is None or (decision is not None and decision["atMilliseconds"] > failure.at_ms):
        return
    log = f"aws logs tail /aws/lambda/{facts.hook.name}"
    what, step = {
        Cause.HOOK_LACKS_PERMISSION: ("the hook lacks a permission", _apply(facts)),
        Cause.HOOK_TIMED_OUT: (
            "the hook did not answer in time",
            f"look at the registry's latency and at cold starts: docs/runbook.md, hook-slow; {log}",
        ),
    }.get(failure.cause, ("the hook crashed", f"{log}; if its code is not this checkout's: {_apply(facts)}"))
    finding = Finding(Stage.HOOK, failure.cause, f"{what} at {failure.at}", step, failure.text)
    if failure.is_over:
        yield note(finding)
    elif failure.cause is not Cause.HOOK_LACKS_PERMISSION or facts.hook.may_write is not False:  # which is told already
        yield _gate(facts, finding)


def check_decision(facts: Facts) -> Iterator[Finding]:
    decision = facts.decision
    if decision is None or decision["allowed"]:
        return
    certificate = str(decision.get("certificateId") or "")[:12]
    what = f"the hook refused it: {decision['reason']}, {decision['meaning']}"
    evidence = f"decision of {decision['at']} about certificate {certificate}..."
    if _is_settled(facts):
        step = _again(facts)
        yield note(Finding(Stage.HOOK, Cause.HOOK_DENIED, f"{what}; that is no longer so", step, evidence))
    else:
        yield Finding(Stage.HOOK, Cause.HOOK_DENIED, what, str(decision["nextStep"]), evidence)


def _is_settled(facts: Facts) -> bool:
    """Whether what the newest refusal was about has been put right since."""
    decision, row = facts.decision, facts.row
    if decision is None or decision["reason"] not in REASONS or not facts.sees(Look.REGISTRY):
        return False
    if decision["reason"] == "unknown_claim":
        return facts.hook.claims is not None and decision.get("claimCertificateId") in facts.hook.claims
    return is_settled_by(row, str(decision["reason"]), facts.now_ms)


def is_settled_by(row: Row | None, reason: str, now_ms: int) -> bool:
    """Whether a row says that what the hook refused for that reason has been put right since."""
    status = row.get("status") if row is not None else None
    if reason == "unknown_serial":
        return row is not None and status != "revoked"
    if reason in ("revoked", "already_provisioned"):
        return status == "registered"
    if reason in ("raced", "lease_running"):
        return status == "registered" or (status == "provisioning" and _lease_end(row, now_ms) is None)
    return False


def _see_hook(facts: Facts) -> str | None:
    decision = facts.decision
    if decision is None:
        return (
            f"{facts.hook.name} can be called; it has not been asked about this serial number lately" if facts.serial else "ready"
        )
    return f"let it in at {decision['at']}" if decision["allowed"] else f"ready; refused it at {decision['at']}"


# --- registry ---


def check_row(facts: Facts) -> Iterator[Finding]:
    if facts.serial is None or not facts.sees(Look.REGISTRY):
        return
    row, kind = facts.row, facts.kind
    if row is None:
        if kind is not None and kind.open_enrolment:
            return
        meant = f"did you mean {' or '.join(facts.near)}? otherwise " if facts.near else ""
        add = f"fleetgate registry add --env {facts.env} --type {kind.name if kind else 'TYPE'} {facts.serial}"
        what = f"the registry does not have {facts.serial}"
        yield Finding(Stage.REGISTRY, Cause.ROW_MISSING, what, f"{meant}if the device is ours: {add}")
        return
    if facts.status == "revoked":
        why = f": {row['revokedReason']}" if row.get("revokedReason") else ""
        what = f"an operator has revoked {facts.serial}{why}"
        by = f"by {row['revokedBy']} at {row.get('revokedAt', 'an unknown time')}" if row.get("revokedBy") else ""
        step = f"keep it out; if that was a mistake: fleetgate revoke --reinstate --env {facts.env} {facts.serial}"
        yield Finding(Stage.REGISTRY, Cause.ROW_REVOKED, what, step, by)
    elif kind is None:
        what = f"the row's device type {row.get('deviceType')} is not in the catalogue"
        step = f"add it to catalogue/device_types.yaml, then: {_apply(facts)}"
        yield Finding(Stage.REGISTRY, Cause.TYPE_UNKNOWN, what, step)


def check_lease(facts: Facts) -> Iterator[Finding]:
    row = facts.row
    expires_ms = _lease_end(row, facts.now_ms) if facts.status == "provisioning" else None
    if row is None or facts.thing is not None or expires_ms is None or not facts.sees(Look.THING):
        return
    until = times.utc(expires_ms)
    what = f"the serial number is leased to certificate {str(row.get('certificateId'))[:12]}... until {until}"
    step = f"a device with that certificate may register at once; any other: let it try again after {until}"
    yield Finding(Stage.REGISTRY, Cause.LEASE_RUNNING, what, step, f"leased at {times.utc(_leased_ms(row))}")


def _lease_end(row: Row | None, now_ms: int) -> int | None:
    """When the row's lease ends, None if none runs."""
    expires_ms = time_of(row or {}, "leaseExpiresAt")
    return expires_ms if expires_ms is not None and expires_ms > now_ms else None


def _leased_ms(row: Row) -> int:
    return time_of(row, "leasedAt") or 0


def _see_registry(facts: Facts) -> str | None:
    if facts.row is None:
        return None if facts.serial is None else "no row is needed: its type is open to enrolment"
    return f"{facts.row['serialNumber']} is {facts.status} ({facts.row.get('deviceType')})"


# --- certificate ---


def check_certificate(facts: Facts) -> Iterator[Finding]:
    certificate = facts.certificate
    if certificate is None or not facts.sees(Look.CERTIFICATES) or facts.status == "registered":
        return
    short = f"certificate {certificate.certificate_id[:12]}..."
    leave = f"fleetgate revoke --env {facts.env} {facts.serial}, then with --reinstate; the device then provisions anew"
    if certificate.status == "missing":
        if facts.status in ("provisioned", "active"):
            what = f"AWS does not have its {short} any more: the device cannot connect"
            yield Finding(Stage.CERTIFICATE, Cause.CERTIFICATE_MISSING, what, leave)
    elif certificate.status == "PENDING_ACTIVATION":
        what = f"its {short} was asked for and is not active: RegisterThing has not come to its end"
        step = f"let the device register again with the same certificate, within an hour of {certificate.created_at or 'asking'}"
        yield Finding(Stage.CERTIFICATE, Cause.CERTIFICATE_PENDING, what, step)
    elif certificate.status != "ACTIVE":
        what = f"its {short} is {certificate.status}: the device cannot connect"
        if facts.status == "revoked":
            step = f"it was revoked; to take that back: fleetgate revoke --reinstate --env {facts.env} {facts.serial}"
        else:
            step = f"find out who switched it off, then: aws iot update-certificate --certificate-id {certificate.certificate_id}"
            step += " --new-status ACTIVE"
        yield Finding(Stage.CERTIFICATE, Cause.CERTIFICATE_INACTIVE, what, step)
    elif facts.thing is not None and not certificate.is_attached:
        what = f"its {short} is attached to no thing" if not certificate.things else f"its {short} is attached to another thing"
        evidence = f"attached to: {', '.join(certificate.things)}" if certificate.things else ""
        step = f"{_orphans(facts)}; or {leave}"
        yield Finding(Stage.CERTIFICATE, Cause.CERTIFICATE_UNATTACHED, what, step, evidence)


def _see_certificate(facts: Facts) -> str | None:
    certificate = facts.certificate
    if certificate is None or facts.status == "registered" or certificate.status == "missing":
        return None
    return f"{certificate.certificate_id[:12]}... is {certificate.status}" + (" and attached" if certificate.is_attached else "")


# --- thing ---


def check_thing_type(facts: Facts) -> Iterator[Finding]:
    kind = facts.kind
    if kind is None or not facts.sees(Look.THING_TYPE) or kind.thing_type_state == "there":
        return
    state = "is not there" if kind.thing_type_state == "missing" else "is deprecated: no thing may get it"
    what = f"the thing type {kind.thing_type} {state}"
    yield _gate(facts, Finding(Stage.THING, Cause.THING_TYPE_MISSING, what, _apply(facts)))


def check_role(facts: Facts) -> Iterator[Finding]:
    if facts.template.role_lacks:
        what = f"the template's role may not: {', '.join(facts.template.role_lacks)}"
        evidence = "by iam:SimulatePrincipalPolicy"
        yield _gate(facts, Finding(Stage.THING, Cause.ROLE_LACKS_PERMISSION, what, _apply(facts), evidence))


def check_thing(facts: Facts) -> Iterator[Finding]:
    row = facts.row
    if row is None or facts.thing is not None or not facts.sees(Look.THING, Look.REGISTRY):
        return
    name = facts.thing_name or "its thing"
    if facts.status in ("provisioned", "active"):
        what = f"the thing {name} is not there, though the registry says {facts.status}"
        step = f"{_orphans(facts)}; with --fix as well, the serial number may come in again"
        yield Finding(Stage.THING, Cause.THING_MISSING, what, step)
    elif facts.status == "provisioning" and facts.now_ms - _leased_ms(row) >= SETTLE_MS:
        what = f"the hook let it in at {times.utc(_leased_ms(row))}, and no thing came of it"
        log = "aws logs tail AWSIotLogsV2 --filter-pattern ProvisionDevice"
        step = f"{log}; prove the way by: fleetgate smoke --env {facts.env}"
        yield Finding(Stage.THING, Cause.REGISTRATION_FAILED, what, step, " | ".join(facts.iot_log[-3:]))


def _orphans(facts: Facts) -> str:
    """The search that finds this device: one of less than an hour would be left out as being on its way in."""
    age_ms = facts.now_ms - int((facts.row or {}).get("leasedAt", 0))
    is_young = age_ms < _ORPHAN_AGE_MS + SETTLE_MS
    return f"fleetgate orphans --env {facts.env}" + f" --older-than {max(0, age_ms - SETTLE_MS) // 60_000}" * is_young


def _see_thing(facts: Facts) -> str | None:
    return None if facts.thing is None else f"{facts.thing.name} ({facts.thing.thing_type or 'no thing type'})"


# --- groups and policy ---


def check_groups(facts: Facts) -> Iterator[Finding]:
    kind, thing = facts.kind, facts.thing
    if kind is None or not facts.sees(Look.GROUP):
        return
    if not kind.has_group:
        yield _gate(
            facts, Finding(Stage.GROUPS, Cause.GROUP_MISSING, f"the thing group {kind.group} is not there", _apply(facts))
        )
    elif thing is not None and facts.sees(Look.THING_GROUPS) and kind.group not in thing.groups:
        what = f"{thing.name} is not in its group {kind.group}"
        step = f"aws iot add-thing-to-thing-group --thing-group-name {kind.group} --thing-name {thing.name}"
        yield Finding(Stage.GROUPS, Cause.NOT_IN_GROUP, what, step, f"its groups: {', '.join(thing.groups) or 'none'}")


def _see_groups(facts: Facts) -> str | None:
    return None if facts.thing is None else ", ".join(facts.thing.groups)


def check_policy(facts: Facts) -> Iterator[Finding]:
    kind, certificate = facts.kind, facts.certificate
    if kind is None or not facts.sees(Look.POLICY):
        return
    policy = kind.policy
    if not policy.is_there:
        yield Finding(Stage.POLICY, Cause.POLICY_MISSING, f"the policy {policy.name} is not there", _apply(facts))
        return
    if not policy.is_rendered:
        what = f"the policy {policy.name} is not the one of this checkout"
        evidence = f"compare: aws iot get-policy --policy-name {policy.name}, and build/{facts.env}/policies/{kind.name}.json"
        yield Finding(Stage.POLICY, Cause.POLICY_CHANGED, what, _apply(facts), evidence)
    is_whole = certificate is not None and certificate.is_attached and certificate.status == "ACTIVE"
    if certificate is not None and is_whole and policy.name not in certificate.policies:
        what = f"its certificate does not hold the policy {policy.name}: it may not even connect"
        target = f"$(aws iot describe-certificate --certificate-id {certificate.certificate_id}"
        target += " --query certificateDescription.certificateArn --output text)"
        step = f"aws iot attach-policy --policy-name {policy.name} --target {target}"
        held = ", ".join(certificate.policies) or "none"
        yield Finding(Stage.POLICY, Cause.POLICY_NOT_ATTACHED, what, step, f"policies it holds: {held}")


def _see_policy(facts: Facts) -> str | None:
    certificate = facts.certificate
    return ", ".join(certificate.policies) if certificate is not None and certificate.is_attached else None


# --- connection and shadow ---


def check_connection(facts: Facts) -> Iterator[Finding]:
    row, thing = facts.row, facts.thing
    if thing is None or row is None or not facts.is_in or facts.status == "revoked":
        return
    known = bool(facts.connection and facts.connection.get("connected")) if facts.sees(Look.CONNECTION) else None
    if known:
        return
    if facts.status in ("provisioning", "provisioned") and "firstConnectedAt" not in row:
        what = "it has never connected with its own certificate"
        step = "look at the device: has it kept its key and certificate, and does it connect with its thing name as client id?"
        yield Finding(Stage.CONNECTION, Cause.NEVER_CONNECTED, what, f"{step} It must be {thing.name}")
    elif known is False:
        since = (facts.connection or {}).get("disconnectedSince", "")
        why = (facts.connection or {}).get("disconnectReason", "")
        what = "it is not connected"
        step = f"look at the device and its network; what AWS IoT saw: aws logs tail AWSIotLogsV2 --filter-pattern {thing.name}"
        yield Finding(Stage.CONNECTION, Cause.NOT_CONNECTED, what, step, " ".join(filter(None, [str(since), str(why)])))


def _see_connection(facts: Facts) -> str | None:
    if facts.thing is None:
        return None
    return "connected" if facts.connection and facts.connection.get("connected") else "it has connected before"


def check_onboarding(facts: Facts) -> Iterator[Finding]:
    if facts.thing is None or facts.row is None or not facts.is_in:
        return
    waiting = f"{facts.dead_letters} dead letters wait" if facts.dead_letters else ""
    mend = f"fleetgate redrive --env {facts.env}" if facts.dead_letters else f"docs/runbook.md, rule-failures; {_events(facts)}"
    if facts.status == "provisioning" and facts.now_ms - _leased_ms(facts.row) >= SETTLE_MS:
        what = "the thing is there, and the registry has not heard of it: the rule or the onboarding function failed"
        yield Finding(Stage.SHADOW, Cause.NOT_ONBOARDED, what, mend, waiting)
    if facts.sees(Look.SHADOW) and not facts.has_shadow and facts.status in ("provisioning", "provisioned", "active"):
        what = "it has no shadow"
        if not facts.dead_letters:
            mend = (
                f"aws iot-data update-thing-shadow --thing-name {facts.thing.name} --cli-binary-format raw-in-base64-out"
                f" --payload '{facts.initial_shadow}' /dev/stdout"
            )
        yield Finding(Stage.SHADOW, Cause.SHADOW_MISSING, what, mend, waiting)


def _events(facts: Facts) -> str:
    return f"prove the way by: fleetgate smoke --env {facts.env}"


def _see_shadow(facts: Facts) -> str | None:
    return "there" if facts.has_shadow else None


def _gate(facts: Facts, finding: Finding) -> Finding:
    """What is wrong with the gate is in the way of a device that has to pass it, and a note about one that has."""
    return finding if facts.needs_gate else note(finding)


PARTS = (
    Part(Stage.ANSWER, _see_answer, (check_answer,), ()),
    Part(Stage.CLAIM, _see_claim, (check_claims, check_claim_policy), (Look.CLAIMS, Look.CLAIM_POLICY)),
    Part(Stage.TEMPLATE, _see_template, (check_template,), (Look.TEMPLATE,)),
    Part(
        Stage.HOOK,
        _see_hook,
        (check_hook, check_hook_throttled, check_hook_failures, check_decision),
        (Look.HOOK, Look.HOOK_PERMISSION, Look.HOOK_LOG),
    ),
    Part(Stage.REGISTRY, _see_registry, (check_row, check_lease), (Look.REGISTRY,)),
    Part(Stage.CERTIFICATE, _see_certificate, (check_certificate,), (Look.CERTIFICATES,)),
    Part(Stage.THING, _see_thing, (check_thing_type, check_role, check_thing), (Look.THING, Look.THING_TYPE)),
    Part(Stage.GROUPS, _see_groups, (check_groups,), (Look.GROUP, Look.THING_GROUPS)),
    Part(Stage.POLICY, _see_policy, (check_policy,), (Look.POLICY,)),
    Part(Stage.CONNECTION, _see_connection, (check_connection,), (Look.CONNECTION,)),
    Part(Stage.SHADOW, _see_shadow, (check_onboarding,), (Look.SHADOW,)),
)
