"""Proves a running fleet from the outside: what AWS has against what the catalogue says, then a canary device of each type.

The same code on AWS and on the embedded cloud. A canary is a real device in all but its serial, which the catalogue reserves; its
registry row doubles as the lock that keeps two runs apart, and everything of it is removed at the end, whatever happened.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from fleetgate import aws, claims, decommission, identity, provisioning, smoke_hook
from fleetgate.build import Fleet
from fleetgate.device import Device, Gate, RefusedByGate, ShadowReader, Walk, hello, telemetry_topic
from fleetgate.errors import FleetgateError
from fleetgate.identity import Identity, IdentityFolder
from fleetgate.mqtt import DeviceError, MqttSession, Refused
from fleetgate.registry import Registry, Row, unknown_type
from fleetgate.smoke_report import Check, Status

T = TypeVar("T")
Say = Callable[[str], None]

#: How long onboarding and logs may take to follow a device; AWS takes seconds.
FOLLOW_SECONDS = 60.0
#: How long a canary's row stays locked after the last sign of life of its run.
LOCK_SECONDS = 120
#: AWS takes one connect a second from the same client id.
_RECONNECT_SECONDS = 1.1
_STEP_SECONDS = 20.0
_EXPECTED_ERRORS = (FleetgateError, DeviceError, BotoCoreError, ClientError, OSError)


class CheckFailed(Exception):
    """What a check saw that should not be. cause and next_step: where they are known better than the check's own."""

    def __init__(self, detail: str, cause: str = "", next_step: str = "") -> None:
        self.cause = cause
        self.next_step = next_step
        super().__init__(detail)


class Checker:
    """Runs checks one after the other, keeps what they found, and says it as it comes."""

    def __init__(self, say: Say, stop: threading.Event) -> None:
        self.checks: list[Check] = []
        self.stop = stop
        self.say = say

    def run(
        self, name: str, title: str, look: Callable[[], str], *, cause: str, next_step: str, needs: Iterable[str] = ()
    ) -> bool:
        """One check: `look` returns what it saw, or raises. Skipped if a check it needs has not passed."""
        missing = [need for need in needs if not self.has_passed(need)]
        if self.stop.is_set() or missing:
            group = name.rpartition(".")[0]
            why = f"needs {', '.join(need.removeprefix(f'{group}.') for need in missing)}" if missing else "interrupted"
            self._add(Check(name, title, Status.SKIPPED, why))
            return False
        start = time.perf_counter()
        try:
            detail = look()
        except CheckFailed as error:
            found = Check(name, title, Status.FAILED, str(error), error.cause or cause, error.next_step or next_step)
        except _EXPECTED_ERRORS as error:
            found = Check(name, title, Status.FAILED, _described(error), cause, next_step)
        else:
            found = Check(name, title, Status.PASSED, detail)
        self._add(found, time.perf_counter() - start)
        return found.status is Status.PASSED

    def has_passed(self, name: str) -> bool:
        return any(check.name == name and check.status is Status.PASSED for check in self.checks)

    def _add(self, check: Check, seconds: float = 0.0) -> None:
        self.checks.append(replace(check, seconds=seconds))
        mark = {Status.PASSED: "ok", Status.FAILED: "FAILED", Status.SKIPPED: "skipped"}[check.status]
        self.say(f"  {mark:<7} {check.name}: {check.detail if check.status is not Status.PASSED else check.title}")


def run(fleet: Fleet, types: Sequence[str] | None = None, claim: str | None = None, say: Say = lambda _: None) -> list[Check]:
    """All checks of the fleet, in a fixed order. types: only these. claim: default the first active one.

    Raises FleetgateError for a type or claim that there is not; everything else is a failed check.
    """
    known = fleet.catalogue.device_types
    unknown = [unknown_type("--type", name, fleet.catalogue) for name in types or () if name not in known]
    if unknown:
        raise FleetgateError(unknown)
    chosen = [name for name in known if types is None or name in types]
    claim_name = claim if claim is not None else provisioning.default_claim(fleet.environment)
    if claim_name not in fleet.environment.settings.claims:
        provisioning.gate(fleet, claim_name)  # raises
    stop, one_at_a_time = threading.Event(), threading.Lock()

    def say_whole(line: str) -> None:
        with one_at_a_time:
            say(line)

    checker = Checker(say_whole, stop)
    setup = _Setup(fleet, claim_name)
    _check_resources(checker, setup, chosen)
    _check_claims(checker, setup, chosen)
    _check_hook_denies(checker, setup, chosen[0])
    canaries = [_Canary(setup, Checker(say_whole, stop), checker.checks, name) for name in chosen]
    with ThreadPoolExecutor(max_workers=4) as pool:
        futures = [pool.submit(canary.check) for canary in canaries]
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.set()  # each canary ends its step, and cleans up
            say("  stopping; removing the canaries")
            raise
    for future, canary in zip(futures, canaries, strict=True):
        future.result()
        checker.checks += canary.checker.checks
    return checker.checks


class _Setup:
    """What the checks share. template and gate are there once their checks have passed."""

    def __init__(self, fleet: Fleet, claim: str) -> None:
        self.fleet = fleet
        self.names = fleet.names
        self.claim = claim
        self.env = f"--env {fleet.environment.name}"
        self.iot = aws.client("iot")
        self.registry = Registry(fleet.names.table)
        self.hook = smoke_hook.Hook(fleet.names.hook)
        self.template: dict[str, Any] = {}
        self.gate: Gate | None = None
        self.claim_certificate_id = ""

    @property
    def apply_again(self) -> str:
        return f"run: fleetgate plan {self.env}, look at it, then fleetgate apply {self.env}"


def _check_resources(checker: Checker, setup: _Setup, types: Sequence[str]) -> None:
    names, drifted = setup.names, "somebody changed it past Terraform, or the catalogue changed since the last apply"

    def exists() -> str:
        setup.template = setup.iot.describe_provisioning_template(templateName=names.template)
        return f"{names.template}, version {setup.template['defaultVersionId']}"

    def enabled() -> str:
        _equal("enabled", setup.template.get("enabled"), True)
        return "enabled"

    def hooked() -> str:
        hook = setup.template.get("preProvisioningHook") or {}
        _equal("hook", hook.get("targetArn"), setup.hook.arn())
        _equal("payload version", hook.get("payloadVersion", "2020-04-01"), "2020-04-01")
        return str(hook["targetArn"])

    def rendered() -> str:
        _equal("default version", json.loads(setup.template["templateBody"]), setup.fleet.template_body)
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
            _equal("parent", metadata.get("parentGroupName"), names.parent_group)
            return f"{group} under {names.parent_group}"

        see(f"groups.{name}", f"the group of {name} is under the parent group", child, "groups.parent")
    policies = {name: names.types[name].policy for name in types} | {"claim": names.claim_policy}
    for name, policy in policies.items():

        def same(name: str = name, policy: str = policy) -> str:
            found = setup.iot.get_policy(policyName=policy)
            _equal("default version", json.loads(found["policyDocument"]), setup.fleet.policies[name])
            return f"{policy}, version {found['defaultVersionId']}"

        see(f"policies.{name}", f"the policy of {name} is the rendered one", same)


def _check_claims(checker: Checker, setup: _Setup, types: Sequence[str]) -> None:
    environment, iot = setup.fleet.environment, setup.iot
    for name, settings in environment.settings.claims.items():
        certificate = environment.claim_folder(name) / claims.CERTIFICATE_FILE
        if name != setup.claim and not certificate.is_file():
            continue  # it is somebody else's: nothing here tells its certificate

        def right(certificate: Path = certificate, active: bool = settings.active) -> str:
            certificate_id = _certificate_id(certificate)
            found = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
            _equal("status", found["status"], "ACTIVE" if active else "INACTIVE")
            attached = iot.list_attached_policies(target=found["certificateArn"])["policies"]
            _equal("policies", sorted(p["policyName"] for p in attached), [setup.names.claim_policy])
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
        setup.claim_certificate_id = _certificate_id(setup.gate.claim_certificate)
        return f"claim {setup.claim}, devices connect to {setup.gate.endpoint.host}:{setup.gate.endpoint.port}"

    checker.run(
        "claim.files",
        "the claim's key and certificate are at hand",
        files,
        cause="the claim was made on another machine, or never",
        next_step=f"run: fleetgate claim create {setup.claim} {setup.env}, or use another by --claim NAME",
    )
    checker.run(
        f"claim.{setup.claim}.bounds",
        f"claim {setup.claim} is refused everything but asking to come in",
        lambda: _claim_bounds(setup, types),
        cause="the claim policy, or another policy on the claim's certificate or a group of it, allows too much",
        next_step=f"compare: aws iot list-attached-policies, and build/{environment.name}/policies/claim.json",
        needs=["claim.files"],
    )


def _claim_bounds(setup: _Setup, types: Sequence[str]) -> str:
    gate = _there(setup.gate)

    def connect(client_id: str) -> MqttSession:
        return _connected(gate, client_id, gate.claim_certificate, gate.claim_key)

    reply = "$aws/certificates/create/json/accepted"
    with _Probe(lambda: connect(gate.claim_client_id("smoke"))) as probe:
        for name in types:
            kind = setup.fleet.catalogue.device_types[name]
            thing = _stranger(setup, name)
            for pattern in kind.topics.publish:
                probe.refuses_publish(telemetry_topic(pattern, name, thing))
            probe.refuses_publish(f"$aws/things/{thing}/shadow/get")
            probe.refuses_connect(thing, connect)
        probe.refuses_publish(f"$aws/provisioning-templates/{setup.names.template}-other/provision/json")
        for topic_filter in ("#", "+/+", "$aws/things/+/shadow/get/accepted"):
            probe.refuses_subscribe(topic_filter)
        return probe.verdict(lambda session: session.subscribe(reply, _STEP_SECONDS))


def _check_hook_denies(checker: Checker, setup: _Setup, device_type: str) -> None:
    def denies() -> str:
        device = _canary_device(setup, device_type)
        event = smoke_hook.event(
            setup.template["templateArn"],
            setup.claim_certificate_id or "0" * 64,
            smoke_hook.self_made_certificate(),
            device.parameters() | {"SerialNumber": "no serial"},
        )
        answer = setup.hook.ask(event)
        _equal("allowProvisioning", answer.allowed, False)
        _equal("parameterOverrides", answer.overrides, {})
        decision = setup.hook.decision(answer, FOLLOW_SECONDS, checker.stop)
        if decision is None:
            raise CheckFailed("it was denied, but the log does not say why")
        _equal("reason in the log", decision.get("reason"), "malformed_serial")
        return "malformed_serial"

    checker.run(
        "hook.denies",
        "the hook denies a malformed device, with its reason in the log",
        denies,
        cause="the deployed hook is not the one of this checkout, or it cannot write its log",
        next_step=f"see its log: aws logs tail /aws/lambda/{setup.names.hook}; {setup.apply_again}",
        needs=["template.exists"],
    )


class _Canary:
    """A device of one type on the whole way, and everything that it must not be able to do."""

    def __init__(self, setup: _Setup, checker: Checker, before: Sequence[Check], device_type: str) -> None:
        self.setup = setup
        self.checker = checker
        self._before = {check.name for check in before if check.status is Status.PASSED}
        self._type = device_type
        self._kind = setup.fleet.catalogue.device_types[device_type]
        self._names = setup.names.types[device_type]
        self._device = _canary_device(setup, device_type)
        self._thing = self._names.thing(self._device.serial)
        self._run_id = secrets.token_hex(8)
        self._holds_lock = False
        self._certificates: set[str] = set()
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
                self._check_removed(Path(folder))

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
            "registers",
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
                self._renew_lock()
            return look()

        own = [self._name(need) for need in needs if "." not in need]
        missing = [need for need in needs if "." in need and need not in self._before]
        self.checker.run(self._name(name), title, locked, cause=cause, next_step=next_step, needs=[*own, *missing])

    def _name(self, name: str) -> str:
        return f"device.{self._type}.{name}"

    # The canary's row, which is the lock.

    def _row(self) -> Row:
        return {
            "serialNumber": self._device.serial,
            "deviceType": self._type,
            "status": "registered",
            "registeredAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "smokeRun": self._run_id,
            "smokeUntil": int(time.time()) + LOCK_SECONDS,
        }

    def _take_lock(self) -> str:
        registry, serial = self.setup.registry, self._device.serial
        stale = registry.put_if_absent(self._row())
        if stale is not None:
            rest = int(stale.get("smokeUntil", 0)) - int(time.time())
            if rest > 0:
                what = f"another run ({stale.get('smokeRun')}) has the canary {serial}"
                raise CheckFailed(what, "two runs at once, or one that was killed", f"try again in {rest} s at the latest")
            if not registry.replace(self._row(), "smokeRun", stale.get("smokeRun")):
                raise CheckFailed(f"another run took the canary {serial} in this moment")
            if stale.get("certificateId"):
                self._certificates.add(str(stale["certificateId"]))
        self._holds_lock = True
        left = decommission.remove_device(self._thing)
        for certificate_id in self._certificates - set(left):
            decommission.remove_certificate(certificate_id)
        self._certificates.clear()
        return f"{serial}; removed what an earlier run left" if stale is not None or left else serial

    def _renew_lock(self) -> None:
        until = int(time.time()) + LOCK_SECONDS
        if not self.setup.registry.set(self._device.serial, "smokeRun", self._run_id, {"smokeUntil": until}):
            self._holds_lock = False
            what = f"another run has taken the canary {self._device.serial} away"
            raise CheckFailed(what, "this run stood still for too long, or somebody removed the row", "run it again, alone")

    def _check_removed(self, folder: Path) -> None:
        """Part of the result: a canary that stays behind is a device nobody watches. Runs also when interrupted."""
        if not self._holds_lock:
            return

        def remove() -> str:
            registry, serial = self.setup.registry, self._device.serial
            # Revoked first: then neither the gate nor a late onboarding event does anything for it any more.
            if not registry.set(serial, "smokeRun", self._run_id, {"status": "revoked"}):
                raise CheckFailed(f"another run has taken the canary {serial} away")
            for path in folder.iterdir():
                # What cannot be read is left: the thing's and the row's certificates are removed all the same.
                with suppress(FleetgateError):
                    found = IdentityFolder(path).load()
                    self._certificates |= {found.certificate_id} if found else set()
            gone = set(decommission.remove_device(self._thing))
            for certificate_id in self._certificates - gone:
                decommission.remove_certificate(certificate_id)
            registry.remove(serial, "smokeRun", self._run_id)
            return f"{self._thing} and {len(gone | self._certificates)} certificates"

        # Of its own: it also has to run after an interruption.
        checker = Checker(self.checker.say, threading.Event())
        checker.run(
            self._name("removed"),
            "the canary is removed, with its certificates and its row",
            lambda: self._released(remove),
            cause="a permission is missing, or AWS was slow to detach the certificate",
            next_step=f"run fleetgate smoke {self.setup.env} again: it begins by removing what was left",
        )
        self.checker.checks += checker.checks

    def _released(self, remove: Callable[[], str]) -> str:
        """Removes, or lets the next run try at once."""
        try:
            return remove()
        except (CheckFailed, *_EXPECTED_ERRORS):
            with suppress(*_EXPECTED_ERRORS):
                self.setup.registry.set(self._device.serial, "smokeRun", self._run_id, {"smokeUntil": 0})
            raise

    # The checks.

    def _hook_allows(self) -> str:
        certificate = smoke_hook.self_made_certificate()
        event = smoke_hook.event(
            self.setup.template["templateArn"],
            self.setup.claim_certificate_id or "0" * 64,
            certificate,
            self._device.parameters(),
        )
        try:
            answer = self.setup.hook.ask(event)
            if not answer.allowed:
                decision = self.setup.hook.decision(answer, FOLLOW_SECONDS, self.checker.stop) or {}
                raise CheckFailed(f"denied: {decision.get('reason', 'the log does not say why')}")
            expected = {"ThingName": self._thing, "GroupName": self._names.group, "PolicyName": self._names.policy}
            _equal("parameterOverrides", {key: answer.overrides.get(key) for key in expected}, expected)
        finally:
            # The hook has leased the serial to a certificate that AWS does not know: give it back.
            self.setup.registry.replace(self._row(), "smokeRun", self._run_id)
        return f"as {self._thing}"

    def _register(self, folder: Path) -> str:
        walk = Walk(_there(self.setup.gate), self._device, IdentityFolder(folder), stop=self.checker.stop)
        self._identity, _ = walk.register()
        _equal("thing name", self._identity.thing_name, self._thing)
        return ", ".join(f"{step} {seconds * 1000:.0f} ms" for step, seconds in walk.record.seconds.items())

    def _connect(self, folder: Path) -> str:
        walk = Walk(_there(self.setup.gate), self._device, IdentityFolder(folder), stop=self.checker.stop)
        self._session = walk.connect(_there(self._identity))
        return f"as {self._thing}"

    def _publish(self) -> str:
        topics = [telemetry_topic(pattern, self._type, self._thing) for pattern in self._kind.topics.publish]
        for topic in topics:
            _there(self._session).publish(topic, hello(self._device), _STEP_SECONDS)
        return ", ".join(topics)

    def _read_shadow(self) -> str:
        reader = ShadowReader(_there(self._session), self._thing, _STEP_SECONDS)
        seen: dict[str, Any] | None = None

        def look() -> bool | None:
            nonlocal seen
            seen = reader.get()
            return True if seen and seen.get("state", {}).get("desired") == self._kind.initial_shadow else None

        if eventually(look, FOLLOW_SECONDS, self.checker.stop) is None:
            raise CheckFailed(f"no shadow came in {FOLLOW_SECONDS:g} s" if seen is None else f"the shadow is {seen['state']}")
        return json.dumps(self._kind.initial_shadow)

    def _see_active(self) -> str:
        certificate_id = _there(self._identity).certificate_id
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
        _equal("certificateId", row.get("certificateId"), certificate_id)
        _equal("thingName", row.get("thingName"), self._thing)
        return f"first connected {row['firstConnectedAt']}"

    def _see_thing(self) -> str:
        iot, certificate_id = self.setup.iot, _there(self._identity).certificate_id
        thing = iot.describe_thing(thingName=self._thing)
        _equal("thing type", thing.get("thingTypeName"), self._names.thing_type)
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
        _equal("attributes", attributes, expected)
        _equal("provisioningTime in Z form", provisioned_at[-1:], "Z")
        groups = iot.list_thing_groups_for_thing(thingName=self._thing)["thingGroups"]
        _equal("groups", [group["groupName"] for group in groups], [self._names.group])
        certificate = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        _equal("certificate status", certificate["status"], "ACTIVE")
        principals = iot.list_thing_principals(thingName=self._thing)["principals"]
        _equal("principals", principals, [certificate["certificateArn"]])
        policies = iot.list_attached_policies(target=certificate["certificateArn"])["policies"]
        _equal("policies", [policy["policyName"] for policy in policies], [self._names.policy])
        return f"{self._names.thing_type}, {self._names.group}, {self._names.policy}"

    def _see_bounds(self, folder: Path) -> str:
        gate, stranger, files = _there(self.setup.gate), _stranger(self.setup, self._type), IdentityFolder(folder)
        if self._session is not None:
            self._session.close()  # two connections of one client id would end each other

        def connect(client_id: str) -> MqttSession:
            return _connected(gate, client_id, files.certificate_file, files.key_file)

        own = telemetry_topic(self._kind.topics.publish[0], self._type, self._thing)
        with _Probe(lambda: connect(self._thing)) as probe:
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
            return probe.verdict(lambda session: session.publish(own, hello(self._device), _STEP_SECONDS))

    def _claim_again(self, folder: Path) -> str:
        registry, serial = self.setup.registry, self._device.serial
        before = registry.get(serial)
        walk = Walk(_there(self.setup.gate), self._device, IdentityFolder(folder), stop=self.checker.stop)
        try:
            walk.register()
        except RefusedByGate:
            pass
        else:
            raise CheckFailed(f"a second certificate got in as {serial}")
        after = registry.get(serial)
        _equal("row", after, before)
        refused = IdentityFolder(folder).load()
        decision = self._decision(_there(refused).certificate_id) or {}
        return f"refused: {decision.get('reason', 'the log does not say why yet')}; the row is unchanged"

    def _see_log(self) -> str:
        decision = self._decision(_there(self._identity).certificate_id)
        if decision is None:
            raise CheckFailed(f"no decision for {self._device.serial} in {FOLLOW_SECONDS:g} s")
        _equal("allowed", decision.get("allowed"), True)
        _equal("thingName", decision.get("thingName"), self._thing)
        return f"reason {decision.get('reason')}, request {decision.get('requestId')}"

    def _decision(self, certificate_id: str) -> dict[str, Any] | None:
        def look() -> dict[str, Any] | None:
            found = self.setup.hook.decisions(certificate_id, self._started_ms)
            return next((d for d in found if d.get("serialNumber") == self._device.serial), None)

        return eventually(look, FOLLOW_SECONDS, self.checker.stop)


class _Probe:
    """Tries what must be refused, each on a connection that stands, and proves at the end that the allowed still works."""

    def __init__(self, connect: Callable[[], MqttSession]) -> None:
        self._connect = connect
        self._session: MqttSession | None = None
        self._refused = 0
        self._allowed: list[str] = []

    def __enter__(self) -> _Probe:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def refuses_publish(self, topic: str) -> None:
        self.refuses("publish to", topic, lambda session: session.publish(topic, b"", _STEP_SECONDS))

    def refuses_subscribe(self, topic_filter: str) -> None:
        self.refuses("subscribe to", topic_filter, lambda session: session.subscribe(topic_filter, _STEP_SECONDS))

    def refuses_connect(self, client_id: str, connect: Callable[[str], MqttSession]) -> None:
        self.refuses("connect as", client_id, lambda _: connect(client_id).close())

    def refuses(self, verb: str, what: str, attempt: Callable[[MqttSession], None]) -> None:
        session = self._open()
        try:
            attempt(session)
        except Refused:
            self._refused += 1
        else:
            self._allowed.append(f"{verb} {what}")

    def verdict(self, control: Callable[[MqttSession], None]) -> str:
        """Raises CheckFailed if anything was allowed. `control` is allowed: if it fails, the refusals prove nothing."""
        control(self._open())
        if self._allowed:
            raise CheckFailed(f"allowed: {', '.join(self._allowed)}")
        return f"{self._refused} attempts refused, the allowed one still works"

    def _open(self) -> MqttSession:
        if self._session is not None and not self._session.is_open:
            self._session.close()
            self._session = None
            time.sleep(_RECONNECT_SECONDS)
        if self._session is None:
            try:
                self._session = self._connect()
            except DeviceError as error:
                # Nothing was tried yet, so nothing was allowed either.
                cause = "the certificate is not active, or its policy does not let it connect"
                raise CheckFailed(str(error), cause, "see the checks of its certificate and policy") from None
        return self._session


def foreign_topics(fleet: Fleet, device_type: str, stranger: str) -> list[str]:
    """Telemetry topics of a thing that is not the device's own, less those that its type may use on behalf of others."""
    types = fleet.catalogue.device_types
    behalf = [
        telemetry_topic(pattern, other, "*").split("/")
        for other in types[device_type].publishes_on_behalf_of
        for pattern in types[other].topics.publish
    ]
    topics = {telemetry_topic(pattern, name, stranger) for name, kind in types.items() for pattern in kind.topics.publish}

    def is_lent(topic: str) -> bool:
        levels = topic.split("/")
        return any(len(levels) == len(lent) and all(a in ("*", b) for a, b in zip(lent, levels, strict=True)) for lent in behalf)

    return sorted(topic for topic in topics if not is_lent(topic))


def eventually(look: Callable[[], T | None], seconds: float, stop: threading.Event) -> T | None:
    """What `look` finds, asked again and again, less and less often; None if it has not in time."""
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        found = look()
        if found is not None or stop.wait(pause) or time.monotonic() > deadline:
            return found
        pause = min(pause * 1.5, 2.0)


def _canary_device(setup: _Setup, device_type: str) -> Device:
    kind = setup.fleet.catalogue.device_types[device_type]
    return Device(kind.canary_serial, device_type, kind.manufacturers[0], kind.firmware.minimum)


def _stranger(setup: _Setup, device_type: str) -> str:
    """A thing that there is not, whose name begins with the canary's: a policy with a loose wildcard would let it through."""
    canary = setup.names.types[device_type].thing(setup.fleet.catalogue.device_types[device_type].canary_serial)
    return f"{canary}-other"


def _connected(gate: Gate, client_id: str, certificate: Path, key: Path) -> MqttSession:
    session = MqttSession(gate.endpoint, client_id, certificate, key)
    session.connect(_STEP_SECONDS)
    return session


def _certificate_id(certificate: Path) -> str:
    try:
        return identity.certificate_id(certificate.read_text(encoding="ascii"))
    except OSError as error:
        what = f"{certificate} cannot be read: {error.strerror}"
        raise CheckFailed(what, "it was not fetched", "run: fleetgate apply, which fetches it") from None
    except ValueError:
        raise CheckFailed(f"{certificate} holds no certificate") from None


def _there(value: T | None) -> T:
    """A value that a check before this one has set; which checks those are stands in `needs`."""
    if value is None:
        raise CheckFailed("a check before this one did not leave what this one needs")
    return value


def _equal(what: str, seen: object, expected: object) -> None:
    if seen != expected:
        raise CheckFailed(f"{what} is {_short(seen)}, expected {_short(expected)}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 300 else f"{text[:300]}..."


def _described(error: Exception) -> str:
    if isinstance(error, FleetgateError):
        return "; ".join(f"{problem.where}: {problem.what} ({problem.remedy})" for problem in error.problems)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response['Error']['Code']}: {error.response['Error']['Message']}"
    return str(error)
