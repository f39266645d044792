"""`fleetgate orphans` from the command line to the account: finds, mends, can be repeated, and leaves what is not ours."""

from __future__ import annotations

import json

import boto3
import pytest

import lambdas
from fleetgate import decommission, orphan_search
from fleetgate.deploy import Deployed
from fleetgate.drain import DeployedType
from fleetgate.environment import ACCOUNT_VARIABLE

TYPE = "temperature-sensor"
POLICY, NOW = f"fleetgate-{TYPE}", ("--older-than", "0")


@pytest.fixture
def iot(registry, monkeypatch):
    """The account's things and certificates, beside the table. moto cannot list shadows, and no Terraform has run."""
    monkeypatch.setattr("fleetgate.decommission._remove_shadows", lambda thing: None)
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    client = boto3.client("iot")
    for policy in (POLICY, "fleetgate-claim", "somebodys"):
        client.create_policy(policyName=policy, policyDocument="{}")
    for thing_type in (TYPE, "other"):
        client.create_thing_type(thingTypeName=thing_type)
    claim = certificate(client, "fleetgate-claim")["certificateId"]
    types = [DeployedType(TYPE, POLICY, TYPE), DeployedType("left", "fleetgate-left", "left")]
    deployed = Deployed(lambdas.TABLE, types, frozenset({claim}))
    monkeypatch.setattr("fleetgate.deploy.deployed", lambda fleet, say: deployed)
    return client


def certificate(iot, policy=POLICY, active=True):
    made = iot.create_keys_and_certificate(setAsActive=active)
    if policy:
        iot.attach_policy(policyName=policy, target=made["certificateArn"])
    return made


def thing(iot, serial, thing_type=TYPE):
    attributes = {"serialNumber": serial, "deviceType": TYPE, "provisioningTime": "2026-01-01T00:00:00Z"}
    iot.create_thing(thingName=f"{TYPE}-{serial}", thingTypeName=thing_type, attributePayload={"attributes": attributes})


@pytest.fixture
def device(iot, registry):
    """Brings a device in as the gate leaves it, with parts left out; returns the id of its certificate."""

    def bring_in(serial, with_thing=True, attached=True, with_row=True, **row):
        made = certificate(iot)
        if with_thing:
            thing(iot, serial)
        if with_thing and attached:
            iot.attach_thing_principal(thingName=f"{TYPE}-{serial}", principal=made["certificateArn"])
        held = {"status": "active", "certificateId": made["certificateId"], "thingName": f"{TYPE}-{serial}", "leasedAt": 1}
        if with_row:
            registry.put(**{"serialNumber": serial, **held, **row})
        return made["certificateId"]

    return bring_in


def account(iot):
    things = {thing["thingName"] for thing in iot.list_things()["things"]}
    return things, {certificate["certificateId"] for certificate in iot.list_certificates()["certificates"]}


@pytest.fixture
def mess(iot, registry, device):
    """One whole device, one orphan of each kind, and beside them what is somebody else's. Returns what has to stay."""
    device("TEMP-000001")
    stays = account(iot)
    device("TEMP-000002", with_thing=False)
    device("TEMP-000003", attached=False)
    device("TEMP-000004", with_row=False)
    rotated = certificate(iot)
    registry.put(serialNumber="TEMP-000009")
    iot.create_thing(thingName="somebodys", thingTypeName="other")
    iot.create_thing(thingName="other-name", thingTypeName=TYPE)
    thing(iot, "TEMP-000010", "other")
    foreign = [certificate(iot, policy)["certificateId"] for policy in ("somebodys", None)]
    both = certificate(iot)
    iot.attach_policy(policyName="somebodys", target=both["certificateArn"])
    kept = stays[0] | {"somebodys", "other-name", f"{TYPE}-TEMP-000010"}, stays[1] | {*foreign, both["certificateId"]}
    return kept, rotated["certificateId"], both["certificateId"]


def found(out):
    return {(item["kind"], item["subject"]) for item in json.loads(out)["orphans"]}


def test_each_kind_is_found_and_what_is_not_surely_ours_is_told_as_not_judged(fleetgate, iot, mess):
    before = account(iot)
    status, out, err = fleetgate("orphans", "--json", *NOW)
    _, rotated, both = mess
    assert status == 1 and found(out) == {
        ("row without a thing", "TEMP-000002"),
        ("thing without a certificate", f"{TYPE}-TEMP-000003"),
        ("thing without a row", f"{TYPE}-TEMP-000004"),
        ("certificate unattached", rotated),
    }
    data = json.loads(out)
    assert {item["subject"] for item in data["notJudged"]} == {"other-name", f"{TYPE}-TEMP-000010", both}
    assert data["notLookedAt"] == 2 and "2 certificates of the account" in err and account(iot) == before
    status, out, err = fleetgate("orphans", *NOW)
    assert status == 1 and "not judged, and never touched" in out and "fleetgate orphans --fix --older-than " in err


def test_fix_mends_them_and_nothing_else_and_again_finds_none(fleetgate, iot, registry, mess, checkout):
    before = registry.row("TEMP-000001"), registry.row("TEMP-000009")
    status, _, err = fleetgate("orphans", "--fix", "--yes", *NOW)
    assert status == 0 and "mended 4 orphans" in err
    assert account(iot) == mess[0]
    assert (registry.row("TEMP-000001"), registry.row("TEMP-000009")) == before and registry.size() == 4
    for serial in ("TEMP-000002", "TEMP-000003"):
        assert set(registry.row(serial)) == {"serialNumber", "deviceType", "status", "registeredAt"}
        assert registry.row(serial)["status"] == "registered"
    [entry] = [json.loads(line) for line in (checkout / "build/moto/audit.jsonl").read_text().splitlines()]
    assert entry["action"] == "orphans" and len(entry["done"]) == 4 and entry["complete"] is True
    kept = {one["subject"]: one["done"] for one in registry.trail()}  # each in its own history
    assert sorted(step for steps in kept.values() for step in steps) == entry["done"] and "TEMP-000002" in kept
    status, out, _ = fleetgate("orphans", "--fix", "--yes", *NOW)
    assert status == 0 and "no orphans" in out and account(iot) == mess[0]


@pytest.mark.parametrize("words", [["--fix", "--dry-run", "--yes"], ["--fix"], []], ids=["dry run", "nobody answers", "no fix"])
def test_nothing_is_touched_unless_somebody_says_so(fleetgate, iot, registry, mess, words):
    before, rows = account(iot), [registry.row(f"TEMP-{n:06}") for n in range(1, 10)]
    status, out, _ = fleetgate("orphans", *words, *NOW)
    assert status == (2 if words == ["--fix"] else 1) and "registry row: active -> registered" in " ".join(
        out.replace("│", " ").split()
    )
    assert account(iot) == before and [registry.row(f"TEMP-{n:06}") for n in range(1, 10)] == rows


def test_what_is_young_may_be_on_its_way_in(fleetgate, iot, registry, device):
    import time

    certificate(iot)
    device("TEMP-000002", with_thing=False, status="provisioning", leasedAt=int(time.time() * 1000))
    device("TEMP-000001")
    device("TEMP-000003", with_thing=False, leasedAt=int(time.time() * 1000), leaseExpiresAt=int(time.time() * 1000) + 60_000)
    status, out, err = fleetgate("orphans")
    assert status == 0 and "no orphans" in out
    assert "2 left out, younger than 60 min" in err and "fleetgate orphans --older-than 0 --env moto" in err
    assert json.loads(fleetgate("orphans", "--json")[1])["tooYoung"] == 2
    status, out, err = fleetgate("orphans", "--json", *NOW)
    assert status == 1 and len(found(out)) == 2 and json.loads(out)["tooYoung"] == 0 and "left out" not in err


def test_a_limit_shows_and_mends_no_more(fleetgate, iot, registry, mess):
    status, out, _ = fleetgate("orphans", "--json", "--limit", "1", *NOW)
    assert status == 1 and len(found(out)) == 1 and json.loads(out)["notShown"] == 3
    for left in (3, 2, 1):
        assert fleetgate("orphans", "--fix", "--yes", "--limit", "1", *NOW)[0] == 1
        assert json.loads(fleetgate("orphans", "--json", "--limit", "1", *NOW)[1])["notShown"] == left - 1
    assert fleetgate("orphans", "--fix", "--yes", "--limit", "1", *NOW)[0] == 0
    assert account(iot) == mess[0]


@pytest.mark.parametrize("step", ["remove_device", "release_certificate"])
def test_an_interrupted_run_is_finished_by_the_next(fleetgate, iot, registry, mess, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(decommission, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert fleetgate("orphans", "--fix", "--yes", *NOW)[0] == 130
    assert registry.row("TEMP-000003")["status"] == "active"
    assert fleetgate("orphans", "--fix", "--yes", *NOW)[0] == 0
    assert account(iot) == mess[0] and registry.row("TEMP-000003")["status"] == "registered"


def test_what_changed_between_the_look_and_the_deed_is_left(fleetgate, iot, registry, mess, monkeypatch):
    real = orphan_search.mend_all

    def changes_first(search, findings, done, failed):
        arn = iot.describe_certificate(certificateId=mess[1])["certificateDescription"]["certificateArn"]
        iot.attach_thing_principal(thingName=f"{TYPE}-TEMP-000003", principal=arn)
        registry.put(serialNumber="TEMP-000004", status="active")
        thing(iot, "TEMP-000002")
        real(search, findings, done, failed)

    monkeypatch.setattr(orphan_search, "mend_all", changes_first)
    before = account(iot)
    status, _, err = fleetgate("orphans", "--fix", "--yes", *NOW)
    assert status == 0 and "mended 0 orphans, 4 changed meanwhile" in err
    assert account(iot) == (before[0] | {f"{TYPE}-TEMP-000002"}, before[1])


def test_one_that_cannot_be_mended_does_not_keep_the_others(fleetgate, iot, registry, mess, monkeypatch):
    from fleetgate.errors import fail

    real = decommission.remove_device

    def stuck(name, *how):
        if name.endswith("3"):
            raise fail(name, "cannot be deleted: why", "look")
        return real(name, *how)

    monkeypatch.setattr(decommission, "remove_device", stuck)
    status, _, err = fleetgate("orphans", "--fix", "--yes", *NOW)
    assert status == 1 and "cannot be deleted: why" in err and "mended 3 orphans, 0 changed meanwhile, 1 could not" in err
    assert registry.row("TEMP-000003")["status"] == "active"
    kept = {one["subject"]: one["complete"] for one in registry.trail()}  # only the one that failed is told as such
    assert len(kept) == 4 and [subject for subject, complete in kept.items() if not complete] == [f"{TYPE}-TEMP-000003"]
    assert '"complete": false' in err


def test_a_device_of_a_type_that_has_left_the_catalogue_is_whole_too(fleetgate, iot, registry):
    made = certificate(iot, "somebodys")
    iot.create_thing(thingName="left-L-1", thingTypeName="other")
    iot.attach_thing_principal(thingName="left-L-1", principal=made["certificateArn"])
    registry.put(
        serialNumber="L-1", deviceType="left", status="active", thingName="left-L-1", certificateId=made["certificateId"]
    )
    status, out, _ = fleetgate("orphans", "--json", *NOW)
    assert status == 0 and json.loads(out)["orphans"] == json.loads(out)["notJudged"] == []


@pytest.mark.parametrize(
    "reason, claim, kind",
    [
        ("unknown_serial", None, "certificate pending"),
        ("unknown_claim", None, None),
        ("unknown_serial", "0" * 64, None),
    ],
    ids=["asked here", "not with our claim, says the hook", "with another claim"],
)
def test_a_pending_certificate_is_ours_if_a_device_asked_our_hook_about_it(
    fleetgate, iot, registry, monkeypatch, reason, claim, kind
):
    made = certificate(iot, policy=None, active=False)["certificateId"]
    real = iot.get_paginator("list_certificates").paginate().build_full_result()["certificates"]
    pending = [c | {"status": "PENDING_ACTIVATION"} for c in real if c["certificateId"] == made]
    monkeypatch.setattr(orphan_search.Search, "_things", lambda self: ([], []))
    [held] = [c["certificateId"] for c in real if c["certificateId"] != made]
    record = {"reason": reason, "claimCertificateId": claim or held}
    monkeypatch.setattr("fleetgate.decisions.Log", lambda group, tell: Log(made, record))
    monkeypatch.setattr("fleetgate.aws.client", lambda service: Pending(boto3.client(service), pending))
    status, out, _ = fleetgate("orphans", "--json", *NOW)
    assert {item["kind"] for item in json.loads(out)["orphans"]} == ({kind} if kind else set())
    assert len(json.loads(out)["notJudged"]) == (0 if kind else 1) and status == (1 if kind else 0)


class Log:
    def __init__(self, certificate_id, record):
        self._found = {certificate_id: [record]}

    def decisions(self, attribute, value, since_ms):
        assert attribute == "certificateId"
        return self._found.get(value, [])


class Pending:
    """moto makes no pending certificates."""

    def __init__(self, client, pending):
        self._client, self._pending = client, {c["certificateId"]: c for c in pending}

    def __getattr__(self, name):
        return getattr(self._client, name)

    def describe_certificate(self, certificateId):
        found = self._client.describe_certificate(certificateId=certificateId)
        if certificateId in self._pending:
            found["certificateDescription"]["status"] = "PENDING_ACTIVATION"
        return found

    def get_paginator(self, operation):
        paginator = self._client.get_paginator(operation)
        if operation != "list_certificates":
            return paginator
        pages = [
            {"certificates": [self._pending.get(c["certificateId"], c) for c in page["certificates"]]}
            for page in paginator.paginate()
        ]
        return type("Pages", (), {"paginate": lambda self, **_: pages})()


@pytest.mark.parametrize(
    "words, part",
    [
        (["--limit", "-1"], "--limit"),
        (["--older-than", "-1"], "--older-than"),
        (["--older-than", "nan"], "--older-than"),
        (["--yes"], "without --fix"),
        (["--dry-run"], "without --fix"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_told(fleetgate, iot, words, part):
    status, out, err = fleetgate("orphans", *words)
    assert (status, out) == (2, "") and part in err


def test_without_a_state_that_says_what_is_ours_nothing_is_judged(fleetgate, iot, mess, monkeypatch):
    monkeypatch.setattr("fleetgate.deploy.deployed", lambda fleet, say: Deployed(None, [], frozenset()))
    before = account(iot)
    status, out, err = fleetgate("orphans", "--fix", "--yes", *NOW)
    assert (status, out) == (2, "") and "nothing tells what is its own" in err and account(iot) == before
