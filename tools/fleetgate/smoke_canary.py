"""A device of one type on the whole way, and everything that it must not be able to do.

A real device in all but its serial, which the catalogue reserves. Everything of it is removed at the end, whatever happened.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fleetgate import smoke_hook
from fleetgate.device import DeviceProvisioner, RefusedByGate, Rejected, ShadowReader, hello, telemetry_topic
from fleetgate.identity import Identity, IdentityFolder
from fleetgate.mqtt import MqttSession
from fleetgate.registry import Row
from fleetgate.smoke_bounds import STEP_SECONDS, Probe, connected, foreign_topics
from fleetgate.smoke_checker import FOLLOW_SECONDS, Checker, CheckFailed, equal, eventually, there
from fleetgate.smoke_lock import CanaryLock
from fleetgate.smoke_report import Check, Status
from fleetgate.smoke_setup import Setup, canary_device, stranger_of


class _RecordedFolder(IdentityFolder):
    """Has each certificate written into the canary's row before it can be registered."""

    def __init__(self, path: Path, lock: CanaryLock) -> None:
        super().__init__(path)
        self._lock = lock

    def create(self, identity: Identity, key: str, certificate: str) -> None:
        self._lock.record(identity.certificate_id)
        super().create(identity, key, certificate)


class Canary:
    """A device of one type on the whole way, and everything that it must not be able to do."""

    def __init__(self, setup: Setup, checker: Checker, before: Sequence[Check], device_type: str) -> None:
        self.setup = setup
        self.checker = checker
        self._before = {check.name for check in before if check.status is Status.PASSED}
        self._type = device_type
        self._kind = setup.fleet.catalogue.device_types[device_type]
        self._names = setup.names.types[device_type]
        self._device = canary_device(setup, device_type)
        self._thing = self._names.thing(self._device.serial)
        self._lock = CanaryLock(setup.registry, device_type, self._device.serial, self._thing, setup.env)
        self._started_ms = int(time.time() * 1000)
        self._identity: Identity | None = None
        self._session: MqttSession | None = None

    def check(self) -> None:
        """Runs the type's checks into `checker`."""
        with tempfile.TemporaryDirectory(prefix="fleetgate-smoke-") as folder:
            try:
                self._check(Path(folder))
            finally:
                if self._session is not None:
                    self._session.close()
                self._check_removed()

    def _check(self, folder: Path) -> None:
        env, fleet = self.setup.env, self.setup.fleet
        hook_log = f"see why: aws logs tail /aws/lambda/{self.setup.names.hook}"
        onboarding_log = f"see: aws logs tail /aws/lambda/{self.setup.names.onboarding}, and its dead-letter queue"
        policy_file = f"build/{fleet.environment.name}/policies/{self._type}.json"
        self._see("ready", "the canary's serial is free", self._take_lock, "another run is under way", "wait for it")
        self._see(
            "hook_allows",
            "the hook, asked directly, lets a well-formed canary in",
            self._hook_allows,
            "the deployed hook has another catalogue than this checkout, or may not write to the registry",
            f"{hook_log}; {self.setup.apply_again}",
            "ready",
            "template.exists",
            "claim.files",
        )
        self._see(
            "registers",
            "the canary connects with the claim, gets a certificate and registers",
            lambda: self._register(folder / "first"),
            "the hook denied it, or the provisioning role lacks a permission",
            f"{hook_log}; fleetgate registry show {self._device.serial} {env}",
            "ready",
            "claim.files",
        )
        self._see(
            "connects",
            "the canary connects as its own thing",
            lambda: self._connect(folder / "first"),
            "the template attached no policy, or the policy does not let the thing connect",
            f"compare {policy_file} with the certificate's policies",
            "registers",
        )
        self._see(
            "publishes",
            "the canary publishes to its telemetry topics",
            self._publish,
            "the type's policy does not allow what the catalogue promises",
            f"compare {policy_file} with topics.publish in catalogue/device_types.yaml",
            "connects",
        )
        self._see(
            "shadow",
            "the canary reads its initial shadow over MQTT",
            self._read_shadow,
            "thing events are off, the rule or the onboarding function failed, or the policy lacks the shadow topics",
            onboarding_log,
            "connects",
        )
        self._see(
            "active",
            "the registry says active, for this certificate",
            self._see_active,
            "the presence rule or the onboarding function failed",
            onboarding_log,
            "connects",
        )
        self._see(
            "thing",
            "thing type, group, policy and attributes are the catalogue's",
            self._see_thing,
            "the hook's answer or the template differs from the catalogue",
            self.setup.apply_again,
            "registers",
        )
        self._see(
            "bounds",
            "the canary is refused another thing's topics and another's shadow",
            lambda: self._see_bounds(folder / "first"),
            "the type's policy, or one on its group, allows too much",
            f"compare {policy_file} with the policies of the certificate and of group {self._names.group}",
            "connects",
        )
        self._see(
            "second_claim",
            "a second claim for the same serial is refused and changes nothing",
            lambda: self._claim_again(folder / "second"),
            "the hook does not guard serials that are taken",
            f"close the gate (claims: active: false in {fleet.environment.file}) and {hook_log}",
            "active",
        )
        self._see(
            "log",
            "the hook's log shows the decision",
            self._see_log,
            "the hook may not write its log, or the log group is another",
            self.setup.apply_again,
            "registers",
        )

    def _see(self, name: str, title: str, look: Callable[[], str], cause: str, next_step: str, *needs: str) -> None:
        def locked() -> str:
            if name != "ready":
                self._lock.renew()
            return look()

        own = [self._name(need) for need in needs if "." not in need]
        missing = [need for need in needs if "." in need and need not in self._before]
        self.checker.run(self._name(name), title, locked, cause=cause, next_step=next_step, needs=[*own, *missing])

    def _name(self, name: str) -> str:
        return f"device.{self._type}.{name}"

    def _take_lock(self) -> str:
        serial = self._device.serial
        return f"{serial}; removed what an earlier run left" if self._lock.take() else serial

    def _check_removed(self) -> None:
        """Part of the result: a canary that stays behind is a device nobody watches. Runs also when interrupted."""
        if not self._lock.is_held:
            return
        # Of its own: it also has to run after an interruption.
        checker = Checker(self.checker.tell, threading.Event())
        passed = checker.run(
            self._name("removed"),
            "the canary is removed, with its certificates and its row",
            self._remove,
            cause="a permission is missing, or AWS was slow to detach the certificate",
            next_step=f"run fleetgate smoke {self.setup.env} again: it begins by removing what was left",
        )
        if not passed:
            self._lock.release()
        self.checker.checks += checker.checks

    def _remove(self) -> str:
        self._lock.remove()
        return f"{self._thing}, its certificates and its row"

    # The checks.

    def _hook_allows(self) -> str:
        certificate = smoke_hook.self_made_certificate()
        event = smoke_hook.event(
            self.setup.template["templateArn"],
            self.setup.claim_certificate_id,
            certificate,
            self._device.parameters(),
        )
        self._lock.record(event["certificateId"])
        try:
            answer = self.setup.hook.ask(event)
            if not answer.allowed:
                decision = self.setup.hook.decision(answer, FOLLOW_SECONDS, self.checker.stop) or {}
                raise CheckFailed(f"denied: {decision.get('reason', 'the log does not say why')}")
            expected = {"ThingName": self._thing, "GroupName": self._names.group, "PolicyName": self._names.policy}
            equal("parameterOverrides", {key: answer.overrides.get(key) for key in expected}, expected)
        finally:
            # The hook has leased the serial to a certificate that AWS does not know: give it back.
            self._lock.give_back(event["certificateId"])
        return f"as {self._thing}"

    def _provisioner(self, folder: Path) -> DeviceProvisioner:
        gate, files = there(self.setup.gate), _RecordedFolder(folder, self._lock)
        return DeviceProvisioner(gate, self._device, files, stop=self.checker.stop)

    def _register(self, folder: Path) -> str:
        provisioner = self._provisioner(folder)
        try:
            self._identity, _ = provisioner.register()
        except RefusedByGate:
            self._lock.require_own()  # tells who has the serial, if that is why
            raise
        equal("thing name", self._identity.thing_name, self._thing)
        return ", ".join(f"{step} {seconds * 1000:.0f} ms" for step, seconds in provisioner.record.seconds.items())

    def _connect(self, folder: Path) -> str:
        self._session = self._provisioner(folder).connect(there(self._identity))
        return f"as {self._thing}"

    def _publish(self) -> str:
        topics = [telemetry_topic(pattern, self._type, self._thing) for pattern in self._kind.topics.publish]
        for topic in topics:
            there(self._session).publish(topic, hello(self._device), STEP_SECONDS)
        return ", ".join(topics)

    def _read_shadow(self) -> str:
        reader = ShadowReader(there(self._session), self._thing, STEP_SECONDS)
        seen: dict[str, Any] | None = None

        def look() -> bool | None:
            nonlocal seen
            seen = reader.get()
            return True if seen and seen.get("state", {}).get("desired") == self._kind.initial_shadow else None

        if eventually(look, FOLLOW_SECONDS, self.checker.stop) is None:
            raise CheckFailed(f"no shadow came in {FOLLOW_SECONDS:g} s" if seen is None else f"the shadow is {seen['state']}")
        return json.dumps(self._kind.initial_shadow)

    def _see_active(self) -> str:
        certificate_id = there(self._identity).certificate_id
        row: Row = {}

        def look() -> bool | None:
            nonlocal row
            row = self.setup.registry.get(self._device.serial) or {}
            # The two events come in any order; each leaves its time.
            done = row.get("status") == "active" and row.get("provisionedAt") and row.get("firstConnectedAt")
            return True if done else None

        if eventually(look, FOLLOW_SECONDS, self.checker.stop) is None:
            shown = {key: row.get(key) for key in ("status", "provisionedAt", "firstConnectedAt")}
            raise CheckFailed(f"after {FOLLOW_SECONDS:g} s the row still says {shown}")
        equal("certificateId", row.get("certificateId"), certificate_id)
        equal("thingName", row.get("thingName"), self._thing)
        return f"first connected {row['firstConnectedAt']}"

    def _see_thing(self) -> str:
        iot, certificate_id = self.setup.iot, there(self._identity).certificate_id
        thing = iot.describe_thing(thingName=self._thing)
        equal("thing type", thing.get("thingTypeName"), self._names.thing_type)
        extras = {name: self._kind.attributes.get(name, "unknown") for name in self.setup.fleet.catalogue.extra_attributes}
        expected = {
            "serialNumber": self._device.serial,
            "deviceType": self._type,
            "firmwareVersion": self._device.firmware,
            "manufacturer": self._device.manufacturer,
            "location": "unknown",
            **extras,
        }
        attributes = dict(thing["attributes"])
        provisioned_at = str(attributes.pop("provisioningTime", ""))
        equal("attributes", attributes, expected)
        equal("provisioningTime in Z form", provisioned_at[-1:], "Z")
        groups = iot.list_thing_groups_for_thing(thingName=self._thing)["thingGroups"]
        equal("groups", [group["groupName"] for group in groups], [self._names.group])
        certificate = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        equal("certificate status", certificate["status"], "ACTIVE")
        principals = iot.list_thing_principals(thingName=self._thing)["principals"]
        equal("principals", principals, [certificate["certificateArn"]])
        policies = iot.list_attached_policies(target=certificate["certificateArn"])["policies"]
        equal("policies", [policy["policyName"] for policy in policies], [self._names.policy])
        return f"{self._names.thing_type}, {self._names.group}, {self._names.policy}"

    def _see_bounds(self, folder: Path) -> str:
        gate, stranger, files = there(self.setup.gate), stranger_of(self.setup, self._type), IdentityFolder(folder)
        if self._session is not None:
            self._session.close()  # two connections of one client id would end each other

        def connect(client_id: str) -> MqttSession:
            return connected(gate, client_id, files.certificate_file, files.key_file)

        own = telemetry_topic(self._kind.topics.publish[0], self._type, self._thing)
        with Probe(lambda: connect(self._thing)) as probe:
            for topic in foreign_topics(self.setup.fleet, self._type, stranger):
                probe.refuses_publish(topic)
            for pattern in self._kind.topics.subscribe:
                probe.refuses_subscribe(telemetry_topic(pattern, self._type, stranger))
            for operation in ("get", "update", "delete"):
                probe.refuses_publish(f"$aws/things/{stranger}/shadow/{operation}")
            probe.refuses_publish(f"$aws/things/{stranger}/jobs/get")
            for thing in (stranger, "+"):
                probe.refuses_subscribe(f"$aws/things/{thing}/shadow/get/accepted")
                probe.refuses_subscribe(f"$aws/things/{thing}/jobs/notify")
            probe.refuses_subscribe("#")
            probe.refuses_connect(stranger, connect)
            return probe.verdict(lambda session: session.publish(own, hello(self._device), STEP_SECONDS))

    def _claim_again(self, folder: Path) -> str:
        registry, serial = self.setup.registry, self._device.serial
        before = registry.get(serial)
        try:
            self._provisioner(folder).register()
        except Rejected as error:
            answer = error.what
        else:
            raise CheckFailed(f"a second certificate got in as {serial}")
        refused = there(IdentityFolder(folder).load())
        # AWS takes a hook that fails for a no as well: only its log tells that it decided, and on what grounds.
        decision = self._decision(refused.certificate_id)
        if decision is None:
            what = f"the second certificate was kept out ({answer}), but the hook logged no decision in {FOLLOW_SECONDS:g} s"
            raise CheckFailed(what, "the hook failed instead of deciding", f"aws logs tail /aws/lambda/{self.setup.names.hook}")
        equal("reason", decision.get("reason"), smoke_hook.TAKEN)
        after = registry.get(serial)
        equal("row", _without_lock(after), _without_lock(before))
        return f"refused: {smoke_hook.TAKEN}; the row is unchanged"

    def _see_log(self) -> str:
        decision = self._decision(there(self._identity).certificate_id)
        if decision is None:
            raise CheckFailed(f"no decision for {self._device.serial} in {FOLLOW_SECONDS:g} s")
        equal("allowed", decision.get("allowed"), True)
        equal("thingName", decision.get("thingName"), self._thing)
        return f"reason {decision.get('reason')}, request {decision.get('requestId')}"

    def _decision(self, certificate_id: str) -> dict[str, Any] | None:
        def look() -> dict[str, Any] | None:
            found = self.setup.hook.decisions(certificate_id, self._started_ms)
            return next((d for d in found if d.get("serialNumber") == self._device.serial), None)

        return eventually(look, FOLLOW_SECONDS, self.checker.stop)


def _without_lock(row: Row | None) -> Row:
    return {name: value for name, value in (row or {}).items() if not name.startswith("smoke")}
