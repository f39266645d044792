"""The initial shadow is written where there is none, and never over one that is there."""

import pytest
from botocore.exceptions import ClientError

import lambdas
from shadows import FakeShadows

shadow = lambdas.modules("onboarding", "shadow").shadow
THING = "temperature-sensor-TEMP-000001"
INITIAL = {"samplingRate": 30, "enabled": True}
#: What AWS might say to version 0 of a shadow that never was.
SIDES = pytest.mark.parametrize("refusal", [None, "ConflictException", "InvalidRequestException"])


def initialise(service):
    return shadow.Shadows(service).initialise(THING, INITIAL)


def test_a_new_thing_gets_its_shadow_in_one_request():
    service = FakeShadows()
    assert initialise(service) == "written"
    assert service.documents == {THING: {"desired": INITIAL}}
    assert service.calls == ["update"]


@SIDES
def test_a_new_thing_gets_its_shadow_whatever_aws_thinks_of_version_zero(refusal):
    service = FakeShadows(refusal)
    assert initialise(service) == "written"
    assert service.documents == {THING: {"desired": INITIAL}}


@SIDES
def test_a_second_delivery_changes_nothing(refusal):
    service = FakeShadows(refusal)
    initialise(service)
    assert initialise(service) == "kept"
    assert service.versions == {THING: 1}


@SIDES
def test_a_shadow_that_the_device_made_first_is_kept(refusal):
    service = FakeShadows(refusal)
    service.device_reports(THING, samplingRate=5)
    assert initialise(service) == "kept"
    assert service.documents == {THING: {"reported": {"samplingRate": 5}}}


@SIDES
def test_a_shadow_that_was_changed_between_two_deliveries_is_kept(refusal):
    service = FakeShadows(refusal)
    initialise(service)
    service.app_desires(THING, samplingRate=5)
    assert initialise(service) == "kept"
    assert service.documents[THING]["desired"]["samplingRate"] == 5


def test_a_delivery_that_is_overtaken_by_another_and_by_the_device_keeps_what_it_finds():
    service = FakeShadows()

    def faster():
        initialise(service)
        service.app_desires(THING, samplingRate=5)

    service.before_next = faster
    assert initialise(service) == "kept"
    assert service.documents == {THING: {"desired": INITIAL | {"samplingRate": 5}}}


@SIDES
def test_a_shadow_deleted_a_moment_ago_is_made_again(refusal):
    service = FakeShadows(refusal)
    service.device_reports(THING, samplingRate=5)
    service.delete(THING)
    assert initialise(service) == "written"
    assert service.documents == {THING: {"desired": INITIAL}}


@pytest.mark.parametrize("operation", ["update_thing_shadow", "get_thing_shadow"])
def test_every_other_error_of_aws_raises(operation):
    service = FakeShadows("ConflictException")

    def throttled(**_):
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, operation)

    setattr(service, operation, throttled)
    with pytest.raises(ClientError, match="ThrottlingException"):
        initialise(service)
