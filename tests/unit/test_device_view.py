"""What is shown of a device: times are UTC wherever it is looked at, and what one may not see is said."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from fleetgate import aws, device_view, revocation


def refused(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Any")


def test_a_certificates_age_is_told_in_utc_whatever_the_machines_time_zone():
    made = datetime.datetime(2026, 1, 31, 1, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    found = {"certificateArn": "arn:cert/c", "status": "ACTIVE", "creationDate": made}
    iot = SimpleNamespace(
        describe_certificate=lambda certificateId: {"certificateDescription": found},
        get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: []),
        exceptions=SimpleNamespace(ResourceNotFoundException=KeyError),
    )
    assert device_view._certificate(iot, "c", True, True, None).created_at == "2026-01-30T23:00:00Z"


@pytest.mark.parametrize("code", aws.DENIED)
def test_what_credentials_may_not_is_known_by_whatever_name_a_service_calls_it(code, monkeypatch):
    def refuse(**_):
        raise refused(code)

    unknown = []
    assert device_view._read(refuse, "shadow", unknown) is None and unknown == ["shadow"]
    monkeypatch.setattr(aws, "iot_data", lambda: SimpleNamespace(delete_connection=refuse))
    assert "not dropped, these credentials may not" in revocation.drop_connection("thing")
