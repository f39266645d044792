"""What AWS has against what the catalogue says: template, groups, policies, claims, and the hook asked directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetgate import claims, provisioning, smoke_hook
from fleetgate.device import telemetry_topic
from fleetgate.mqtt import MqttSession
from fleetgate.smoke_bounds import STEP_SECONDS, Probe, connected
from fleetgate.smoke_checker import FOLLOW_SECONDS, Checker, CheckFailed, equal, there
from fleetgate.smoke_setup import Setup, canary_device, id_in_file, stranger_of


def check_resources(checker: Checker, setup: Setup, types: Sequence[str]) -> None:
    names, drifted = setup.names, "somebody changed it past Terraform, or the catalogue changed since the last apply"

    def exists() -> str:
        setup.template = setup.iot.describe_provisioning_template(templateName=names.template)
        return f"{names.template}, version {setup.template['defaultVersionId']}"

    def enabled() -> str:
        equal("enabled", setup.template.get("enabled"), True)
        return "enabled"

    def hooked() -> str:
        hook = setup.template.get("preProvisioningHook") or {}
        equal("hook", hook.get("targetArn"), setup.hook.arn())
        equal("payload version", hook.get("payloadVersion", "2020-04-01"), "2020-04-01")
        return str(hook["targetArn"])

    def rendered() -> str:
        equal("default version", json.loads(setup.template["templateBody"]), setup.fleet.template_body)
        return f"{len(setup.template['templateBody'])} characters"

    def see(name: str, title: str, look: Callable[[], str], *needs: str) -> None:
        checker.run(name, title, look, cause=drifted, next_step=setup.apply_again, needs=needs)

    see("template.exists", "the provisioning template exists", exists)
    see("template.enabled", "the template is enabled", enabled, "template.exists")
    see("template.hook", "the template asks this fleet's hook", hooked, "template.exists")
    see("template.body", "the template's default version is the rendered one", rendered, "template.exists")

    def parent() -> str:
        setup.iot.describe_thing_group(thingGroupName=names.parent_group)
        return names.parent_group

    see("groups.parent", "the parent group exists", parent)
    for name in types:

        def child(group: str = names.types[name].group) -> str:
            metadata = setup.iot.describe_thing_group(thingGroupName=group).get("thingGroupMetadata", {})
            equal("parent", metadata.get("parentGroupName"), names.parent_group)
            return f"{group} under {names.parent_group}"

        see(f"groups.{name}", f"the group of {name} is under the parent group", child, "groups.parent")
    policies = {name: names.types[name].policy for name in types} | {"claim": names.claim_policy}
    for name, policy in policies.items():

        def same(name: str = name, policy: str = policy) -> str:
            found = setup.iot.get_policy(policyName=policy)
            equal("default version", json.loads(found["policyDocument"]), setup.fleet.policies[name])
            return f"{policy}, version {found['defaultVersionId']}"

        see(f"policies.{name}", f"the policy of {name} is the rendered one", same)


def check_claims(checker: Checker, setup: Setup, types: Sequence[str]) -> None:
    environment, iot = setup.fleet.environment, setup.iot
    for name, settings in environment.settings.claims.items():
        certificate = environment.claim_folder(name) / claims.CERTIFICATE_FILE
        if name != setup.claim and not certificate.is_file():
            continue  # it is somebody else's: nothing here tells its certificate

        def right(certificate: Path = certificate, active: bool = settings.active) -> str:
            certificate_id = id_in_file(certificate)
            found = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
            equal("status", found["status"], "ACTIVE" if active else "INACTIVE")
            attached = iot.list_attached_policies(target=found["certificateArn"])["policies"]
            equal("policies", sorted(p["policyName"] for p in attached), [setup.names.claim_policy])
            return f"{found['status']}, certificate {certificate_id[:12]}..."

        state = "is active" if settings.active else "is retired"
        checker.run(
            f"claim.{name}.certificate",
            f"claim {name} {state} and has the claim policy and no other",
            right,
            cause="somebody changed the certificate past Terraform, or its file here is of another fleet",
            next_step=setup.apply_again,
        )

    def files() -> str:
        setup.gate = provisioning.gate(setup.fleet, setup.claim)
        setup.claim_certificate_id = id_in_file(setup.gate.claim_certificate)
        return f"claim {setup.claim}, devices connect to {setup.gate.endpoint.host}:{setup.gate.endpoint.port}"

    checker.run(
        "claim.files",
        "the claim's key and certificate are at hand",
        files,
        cause="the claim was made on another machine, or never",
        next_step="mend what was seen, or use another claim by --claim NAME",
    )
    checker.run(
        f"claim.{setup.claim}.bounds",
        f"claim {setup.claim} is refused everything but asking to come in",
        lambda: _claim_bounds(setup, types),
        cause="the claim policy, or another policy on the claim's certificate or a group of it, allows too much",
        next_step=f"compare: aws iot list-attached-policies, and build/{environment.name}/policies/claim.json",
        needs=["claim.files"],
    )


def _claim_bounds(setup: Setup, types: Sequence[str]) -> str:
    gate = there(setup.gate)

    def connect(client_id: str) -> MqttSession:
        return connected(gate, client_id, gate.claim_certificate, gate.claim_key)

    reply = "$aws/certificates/create/json/accepted"
    with Probe(lambda: connect(gate.claim_client_id("smoke"))) as probe:
        for name in types:
            kind = setup.fleet.catalogue.device_types[name]
            thing = stranger_of(setup, name)
            for pattern in kind.topics.publish:
                probe.refuses_publish(telemetry_topic(pattern, name, thing))
            probe.refuses_publish(f"$aws/things/{thing}/shadow/get")
            probe.refuses_connect(thing, connect)
        probe.refuses_publish(f"$aws/provisioning-templates/{setup.names.template}-other/provision/json")
        for topic_filter in ("#", "+/+", "$aws/things/+/shadow/get/accepted"):
            probe.refuses_subscribe(topic_filter)
        return probe.verdict(lambda session: session.subscribe(reply, STEP_SECONDS))


def check_hook_denies(checker: Checker, setup: Setup, device_type: str) -> None:
    def denies() -> str:
        device = canary_device(setup, device_type)
        event = smoke_hook.event(
            setup.template["templateArn"],
            setup.claim_certificate_id,
            smoke_hook.self_made_certificate(),
            # Under the canary's serial, which the hook counts apart: this is no mistake of a factory's.
            device.parameters() | {"FirmwareVersion": "no version"},
        )
        answer = setup.hook.ask(event)
        equal("allowProvisioning", answer.allowed, False)
        equal("parameterOverrides", answer.overrides, {})
        decision = setup.hook.decision(answer, FOLLOW_SECONDS, checker.stop)
        if decision is None:
            raise CheckFailed("it was denied, but the log does not say why")
        equal("reason in the log", decision.get("reason"), smoke_hook.MALFORMED)
        return smoke_hook.MALFORMED

    checker.run(
        "hook.denies",
        "the hook denies a malformed device, with its reason in the log",
        denies,
        cause="the deployed hook is not the one of this checkout, or it cannot write its log",
        next_step=f"see its log: aws logs tail /aws/lambda/{setup.names.hook}; {setup.apply_again}",
        needs=["template.exists", "claim.files"],
    )
