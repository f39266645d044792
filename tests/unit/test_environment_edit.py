"""An environment's file is edited in one place, keeps its comments and order, and is left alone if there is any doubt."""

from __future__ import annotations

import pytest

from fleetgate import environment, environment_edit
from fleetgate.errors import FleetgateError

HEAD = '# whose file this is\naccount_id: "123456789012"   # the account\nregion: us-east-1\n'
FILE = "terraform/envs/prod.yaml"
#: id: claims as they are, with a claim added, with factory-1 inactive.
FORMS = {
    "flow": (
        "claims:\n  # the first\n  factory-1: {}  # berlin\n\n  factory-2: {}\n",
        "claims:\n  # the first\n  factory-1: {}  # berlin\n  new: {}\n\n  factory-2: {}\n",
        "claims:\n  # the first\n  factory-1: {active: false}  # berlin\n\n  factory-2: {}\n",
    ),
    "flow with values": (
        "claims:\n    factory-1: {maximum_devices: 10, active: true} # x\n    factory-2: {}\n",
        "claims:\n    factory-1: {maximum_devices: 10, active: true} # x\n    new: {maximum_devices: 10}\n    factory-2: {}\n",
        "claims:\n    factory-1: {maximum_devices: 10, active: false} # x\n    factory-2: {}\n",
    ),
    "flow without active": (
        "claims:\n  factory-1: {maximum_devices: 10}\n  factory-2: {}\nlease_seconds: 20\n",
        "claims:\n  factory-1: {maximum_devices: 10}\n  new: {maximum_devices: 10}\n  factory-2: {}\nlease_seconds: 20\n",
        "claims:\n  factory-1: {active: false, maximum_devices: 10}\n  factory-2: {}\nlease_seconds: 20\n",
    ),
    "flow over two lines": (
        "claims:\n  factory-1: {\n    maximum_devices: 10}\n  factory-2: {}\n",
        "claims:\n  factory-1: {\n    maximum_devices: 10}\n  new: {maximum_devices: 10}\n  factory-2: {}\n",
        "claims:\n  factory-1: {active: false, \n    maximum_devices: 10}\n  factory-2: {}\n",
    ),
    "block": (
        "claims:\n  factory-1:\n    # many\n    maximum_devices: 10  # x\n  # y\n  factory-2: {}\n",
        "claims:\n  factory-1:\n    # many\n    maximum_devices: 10  # x\n  new: {maximum_devices: 10}\n  # y\n  factory-2: {}\n",
        "claims:\n  factory-1:\n    # many\n    active: false\n    maximum_devices: 10  # x\n  # y\n  factory-2: {}\n",
    ),
    "block with active": (
        "claims:\n  factory-1:\n    active: true # yes\n  factory-2: {}\n",
        "claims:\n  factory-1:\n    active: true # yes\n  new: {}\n  factory-2: {}\n",
        "claims:\n  factory-1:\n    active: false # yes\n  factory-2: {}\n",
    ),
    "quoted name": (
        "claims:\n  'factory-1': {}\n  factory-2: {}\n",
        "claims:\n  'factory-1': {}\n  new: {}\n  factory-2: {}\n",
        "claims:\n  'factory-1': {active: false}\n  factory-2: {}\n",
    ),
    "line ends of Windows": (
        "claims:\r\n  factory-1:\r\n    maximum_devices: 5\r\n  factory-2: {}\r\n",
        "claims:\r\n  factory-1:\r\n    maximum_devices: 5\r\n  new: {maximum_devices: 5}\r\n  factory-2: {}\r\n",
        "claims:\r\n  factory-1:\r\n    active: false\r\n    maximum_devices: 5\r\n  factory-2: {}\r\n",
    ),
}


@pytest.mark.parametrize("before, added, retired", FORMS.values(), ids=FORMS)
def test_only_the_place_in_question_changes(before, added, retired):
    assert environment_edit.add_claim(HEAD + before, FILE, "factory-1", "new") == HEAD + added
    assert environment_edit.deactivate_claim(HEAD + before, FILE, "factory-1") == HEAD + retired


def test_the_last_line_of_a_file_without_a_line_end_gets_one_before_a_claim_is_added():
    text = HEAD + "claims:\n  factory-2: {}\n  factory-1: {}"
    assert environment_edit.add_claim(text, FILE, "factory-1", "new") == text + "\n  new: {}\n"


def test_the_order_of_the_claims_is_kept_so_that_the_first_stays_the_default_one():
    text = environment_edit.add_claim(HEAD + FORMS["flow"][0], FILE, "factory-1", "new")
    assert list(environment.parse(text, FILE).claims) == ["factory-1", "new", "factory-2"]


@pytest.mark.parametrize(
    "claims",
    [
        "claims: {factory-1: {}, factory-2: {}}\n",
        "claims: {\n  factory-1: {},\n  factory-2: {}}\n",
        "? claims\n: factory-1: {}\n  factory-2: {}\n",
    ],
    ids=["one line", "braces", "question mark"],
)
def test_a_form_that_leaves_a_doubt_is_refused_with_the_line_to_write(claims):
    with pytest.raises(
        FleetgateError, match=r"prod\.yaml:\d claims\.factory-1: .*nothing was changed\n    -> write `new: \{\}` below it"
    ):
        environment_edit.add_claim(HEAD + claims, FILE, "factory-1", "new")


@pytest.mark.parametrize("name", ["on", "null", "7"])
def test_a_name_that_yaml_reads_as_something_else_is_refused(name):
    with pytest.raises(FleetgateError, match="nothing was changed"):
        environment_edit.add_claim(HEAD + FORMS["flow"][0], FILE, "factory-1", name)


def test_a_claim_that_is_retired_stays_so_and_the_last_active_one_cannot_be_retired_in_the_file():
    text = HEAD + "claims:\n  factory-1: {active: false}\n  factory-2: {}\n"
    assert environment_edit.deactivate_claim(text, FILE, "factory-1") == text
    with pytest.raises(FleetgateError, match="nothing was changed"):
        environment_edit.deactivate_claim(text, FILE, "factory-2")
