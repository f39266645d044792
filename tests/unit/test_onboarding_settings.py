"""The onboarding function starts with complete settings or not at all."""

import json

import pytest

import lambdas

settings = lambdas.modules("onboarding", "settings").settings


def test_good_settings_are_read(tmp_path):
    (tmp_path / "catalogue.json").write_text(json.dumps(lambdas.ONBOARDING_CATALOGUE))
    loaded = settings.load(lambdas.ONBOARDING_ENVIRONMENT, tmp_path)
    assert (loaded.table_name, loaded.audit_table_name) == (lambdas.TABLE, lambdas.AUDIT_TABLE)
    assert loaded.device_types["gateway"].thing_name_prefix == "gateway-"
    assert loaded.device_types["temperature-sensor"].initial_shadow == {"samplingRate": 30, "enabled": True}


def test_everything_that_is_missing_is_named_in_one_error(tmp_path):
    with pytest.raises(settings.SettingsError) as error:
        settings.load({}, tmp_path)
    lines = str(error.value).splitlines()
    wanted = ["TABLE_NAME", "AUDIT_TABLE_NAME", "AWS_ENDPOINT_URL_IOT_DATA_PLANE", "catalogue.json"]
    assert [line.split(":")[0] for line in lines] == wanted


def test_an_endpoint_without_its_scheme_is_refused(tmp_path):
    (tmp_path / "catalogue.json").write_text(json.dumps(lambdas.ONBOARDING_CATALOGUE))
    bare = {"AWS_ENDPOINT_URL_IOT_DATA_PLANE": "abc-ats.iot.us-east-1.amazonaws.com"}
    with pytest.raises(settings.SettingsError, match=r"^AWS_ENDPOINT_URL_IOT_DATA_PLANE: .* is not usable"):
        settings.load(lambdas.ONBOARDING_ENVIRONMENT | bare, tmp_path)


def test_broken_entries_of_the_catalogue_are_all_named(tmp_path):
    broken = {"deviceTypes": {"one": {"thingNamePrefix": "one-"}, "two": {"initialShadow": {}}, "three": 3}}
    (tmp_path / "catalogue.json").write_text(json.dumps(broken))
    with pytest.raises(settings.SettingsError) as error:
        settings.load(lambdas.ONBOARDING_ENVIRONMENT, tmp_path)
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == ["one", "two", "three"]
