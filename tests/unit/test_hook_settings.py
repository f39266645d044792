"""The hook starts with complete settings or not at all, and says everything that is missing at once."""

import copy
import json

import pytest

import lambdas

settings = lambdas.modules("provisioning_hook", "settings", "decision").settings


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "catalogue.json").write_text(json.dumps(lambdas.HOOK_CATALOGUE))
    return tmp_path


def test_good_settings_are_read(folder):
    loaded = settings.load(lambdas.HOOK_ENVIRONMENT, folder)
    assert (loaded.table_name, loaded.lease_ms) == (lambdas.TABLE, 600_000)
    assert loaded.rules.template_arn == lambdas.TEMPLATE_ARN
    assert loaded.rules.claim_certificate_ids == set(lambdas.CLAIM_CERTIFICATES)
    assert loaded.rules.device_types["gateway"].extra_parameters == {"Extra_powerSource": "unknown", "Extra_rack": "r1"}
    assert loaded.rules.device_types["gateway"].open_enrolment is True
    assert loaded.rules.device_types["temperature-sensor"].open_enrolment is False
    assert loaded.rules.device_types["temperature-sensor"].minimum_firmware == (1, 9)


def test_everything_that_is_missing_is_named_in_one_error(tmp_path):
    with pytest.raises(settings.SettingsError) as error:
        settings.load({}, tmp_path)
    names = [line.split(":")[0] for line in str(error.value).splitlines()]
    assert names == ["TABLE_NAME", "TEMPLATE_ARN", "LEASE_SECONDS", "CLAIM_CERTIFICATE_IDS", "catalogue.json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "-5"),
        ("LEASE_SECONDS", "1.5"),
        ("LEASE_SECONDS", "ten"),
        ("LEASE_SECONDS", "\u0661"),
        ("LEASE_SECONDS", "100000"),
        ("TEMPLATE_ARN", "fleetgate-fleet"),
        ("TEMPLATE_ARN", lambdas.TEMPLATE_ARN + "\n"),
        ("TABLE_NAME", "a/b"),
        ("CLAIM_CERTIFICATE_IDS", "*"),
        ("CLAIM_CERTIFICATE_IDS", "a" * 63),
        ("CLAIM_CERTIFICATE_IDS", "A" * 64),
        ("CLAIM_CERTIFICATE_IDS", "a" * 64 + ","),
        ("CLAIM_CERTIFICATE_IDS", ("a" * 64 + ", ") + "b" * 64),
        ("CLAIM_CERTIFICATE_IDS", "a" * 64 + "\n"),
        ("CLAIM_CERTIFICATE_IDS", f"arn:aws:iot:us-east-1:123456789012:cert/{'a' * 64}"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_by_name(name, value, folder):
    with pytest.raises(settings.SettingsError, match=f"^{name}: .* is not usable; set "):
        settings.load(lambdas.HOOK_ENVIRONMENT | {name: value}, folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("serialPattern", "[", "unterminated character set"),
        ("minimumFirmware", "1.x", "minimumFirmware '1.x'"),
        ("enrolment", "none", "enrolment 'none'"),
        ("manufacturers", ["Acme Inc"], "'Acme Inc' cannot be"),
        ("extraParameters", {"Extra_powerSource": "50%"}, "'50%' cannot be"),
        ("policyName", None, "'policyName' is missing"),
    ],
)
def test_a_broken_entry_of_the_catalogue_is_named_with_its_type(key, value, message, folder):
    catalogue = copy.deepcopy(lambdas.HOOK_CATALOGUE)
    for kind in catalogue["deviceTypes"].values():
        if value is None:
            del kind[key]
        else:
            kind[key] = value
    (folder / "catalogue.json").write_text(json.dumps(catalogue))
    with pytest.raises(settings.SettingsError) as error:
        settings.load(lambdas.HOOK_ENVIRONMENT, folder)
    lines = str(error.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["temperature-sensor", "gateway"]
    assert all(message in line for line in lines)
