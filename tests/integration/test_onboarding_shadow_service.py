"""The two answers that keep a shadow alone, as botocore really delivers them.

moto fails inside when a version is named for a shadow that never was; that case is told by the fake and the embedded cloud.
"""

import json

import botocore.session
import pytest

import lambdas

THING = "temperature-sensor-TEMP-000001"
INITIAL = {"samplingRate": 30}


@pytest.fixture
def service(registry):
    session = botocore.session.get_session()
    session.create_client("iot").create_thing(thingName=THING)
    return session.create_client("iot-data")


def initialise(service):
    return lambdas.modules("onboarding", "shadow").shadow.Shadows(service).initialise(THING, INITIAL)


def desired(service):
    return json.loads(service.get_thing_shadow(thingName=THING)["payload"].read())["state"]["desired"]


def test_a_shadow_that_is_there_is_kept(service):
    service.update_thing_shadow(thingName=THING, payload=b'{"state": {"desired": {"samplingRate": 5}}}')
    assert initialise(service) == "kept"
    assert desired(service) == {"samplingRate": 5}


def test_a_deleted_shadow_is_made_again(service):
    service.update_thing_shadow(thingName=THING, payload=b'{"state": {"desired": {"samplingRate": 5}}}')
    service.delete_thing_shadow(thingName=THING)
    assert initialise(service) == "written"
    assert desired(service) == INITIAL
