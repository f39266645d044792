"""What a person gives `fleetgate registry add`: every mistake with its place, and only good rows let through."""

from __future__ import annotations

import pytest

from checkouts import ROOT
from fleetgate import catalogue, registry
from fleetgate.errors import FleetgateError, Problem
from fleetgate.registry import Wanted

CATALOGUE = catalogue.read(ROOT)
TYPE = "temperature-sensor"


def read(text):
    rows, problems = registry.read_csv(text, "devices.csv")
    good, more = registry.check(rows, CATALOGUE)
    return good, problems + more


def test_a_csv_file_gives_its_rows_with_their_lines():
    good, problems = read(
        f"serialNumber,deviceType,location,manufacturer\nTEMP-000001,{TYPE},hall-1,AcmeSensors\n\n TEMP-000002 , {TYPE} ,,\n"
    )
    assert problems == []
    assert good == [
        Wanted("devices.csv:2", "TEMP-000001", TYPE, "AcmeSensors", "hall-1"),
        Wanted("devices.csv:4", "TEMP-000002", TYPE, None, None),
    ]


@pytest.mark.parametrize(
    "text", ["\ufeffserialNumber,deviceType\r\n", "serialNumber,deviceType\r", '"serialNumber","deviceType"\n']
)
def test_byte_order_marks_and_other_line_ends_and_quotes_are_read(text):
    good, problems = read(text + f"TEMP-000001,{TYPE}")
    assert [row.serial for row in good] == ["TEMP-000001"] and problems == []


def test_all_bad_rows_are_listed_with_line_and_remedy_and_the_good_ones_remain():
    good, problems = read(
        "serialNumber,deviceType,manufacturer,location\n"
        f"TEMP-000001,{TYPE},,\n"
        f"TEMP-1,{TYPE},,\n"
        f"TEMP-000002,temprature-sensor,,\n"
        f"TEMP-000003,{TYPE},Nobody,\n"
        f"TEMP-000004,{TYPE},,hall 4\n"
        f"TEMP-000001,{TYPE},,\n"
        f"TEMP-000000,{TYPE},,\n"
        f"TEMP-000005,{TYPE}\n"
        f",{TYPE},,\n"
        f"TEMP-00000\uff17,{TYPE},,\n"
    )
    assert [row.serial for row in good] == ["TEMP-000001"]
    assert sorted(int(problem.where.rpartition(":")[2]) for problem in problems) == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert all(problem.what and problem.remedy for problem in problems)
    by_line = {problem.where: problem for problem in problems}
    assert "did you mean temperature-sensor?" in by_line["devices.csv:4"].remedy
    assert "AcmeSensors" in by_line["devices.csv:5"].remedy
    assert "devices.csv:2" in by_line["devices.csv:7"].what
    assert "reserved" in by_line["devices.csv:8"].what


def test_one_row_with_several_mistakes_names_them_all():
    _, problems = registry.check([Wanted("x", "nope", TYPE, "Nobody", "a b")], CATALOGUE)
    assert len(problems) == 3


@pytest.mark.parametrize(
    "header, said",
    [
        ("serialNumber", "deviceType is missing"),
        ("", "serialNumber is missing"),
        ("serialNumber,deviceType,deviceTyp", "unknown column 'deviceTyp'"),
        ("serialNumber,deviceType,location,location", "location stands twice"),
    ],
)
def test_an_unusable_header_is_refused_whole(header, said):
    with pytest.raises(FleetgateError, match=said):
        registry.read_csv(f"{header}\nTEMP-000001,{TYPE}\n", "devices.csv")


@pytest.mark.parametrize(
    "text", ["serialNumber,deviceType\n", f'serialNumber,deviceType\n"TEMP-000001,{TYPE}\n'], ids=["no rows", "open quote"]
)
def test_a_file_without_usable_rows_is_a_problem_and_not_an_empty_success(text):
    good, problems = read(text)
    assert good == [] and len(problems) == 1


@pytest.mark.parametrize("serial", ["TEMP-000001\n", "TEMP-0000011", "xTEMP-000001", "TEMP-00000\uff17"])
def test_a_serial_has_to_match_its_pattern_from_end_to_end(serial):
    _, problems = registry.check([Wanted("x", serial, TYPE)], CATALOGUE)
    assert len(problems) == 1


@pytest.mark.parametrize(
    "argument, expected",
    [
        ("TEMP-000001", ["TEMP-000001"]),
        ("TEMP-000009..TEMP-000011", ["TEMP-000009", "TEMP-000010", "TEMP-000011"]),
        ("GW-7..GW-7", ["GW-7"]),
        ("08..11", ["08", "09", "10", "11"]),
    ],
)
def test_ranges_keep_their_width_and_include_both_ends(argument, expected):
    assert registry.expand(argument) == expected


@pytest.mark.parametrize(
    "argument", ["TEMP-1..HUM-2", "TEMP-1..TEMP-10", "TEMP-2..TEMP-1", "a..b", "..", "TEMP-0000000..TEMP-9999999"]
)
def test_what_is_no_range_is_a_problem_with_a_remedy(argument):
    problem = registry.expand(argument)
    assert isinstance(problem, Problem) and problem.where == argument and problem.remedy


def test_arguments_become_rows_of_the_type_with_its_options():
    rows, problems = registry.read_arguments(TYPE, ["TEMP-000001..TEMP-000002", "x..y"], "AcmeSensors", "hall-1")
    assert [(row.serial, row.manufacturer, row.location) for row in rows] == [
        ("TEMP-000001", "AcmeSensors", "hall-1"),
        ("TEMP-000002", "AcmeSensors", "hall-1"),
    ]
    assert [problem.where for problem in problems] == ["x..y"]


@pytest.mark.parametrize(
    "places, said",
    [
        (["f.csv:3"], "f.csv:3"),
        (["f.csv:3", "f.csv:7", "f.csv:9"], "f.csv:3, 7, 9"),
        (["f.csv:8", "f.csv:9", "f.csv:10", "f.csv:12"], "f.csv:8-10, 12"),
        (["S-09", "S-10", "S-11", "S-13", "T-14"], "S-09..S-11, S-13, T-14"),
        (["9", "010"], "9, 010"),
        (["--type"], "--type"),
        (["x", "x"], "x, x"),
    ],
)
def test_one_text_at_many_places_names_every_place_in_short(places, said):
    assert registry.grouped([Problem(place, "is wrong", "mend it") for place in places]) == [Problem(said, "is wrong", "mend it")]


def test_problems_with_different_texts_stay_apart_in_their_order():
    problems = [Problem("f:1", "a", "r"), Problem("f:2", "b", "r"), Problem("f:3", "a", "s"), Problem("f:4", "a", "r")]
    assert registry.grouped(problems) == [Problem("f:1, 4", "a", "r"), *problems[1:3]]


def test_a_serial_that_is_given_twice_is_told_by_its_name():
    rows, _ = registry.read_arguments(TYPE, ["TEMP-000001..TEMP-000003", "TEMP-000002"], None, None)
    good, problems = registry.check(rows, CATALOGUE)
    assert len(good) == 3 and [(p.where, p.what) for p in problems] == [("TEMP-000002", "was given before")]


EXISTING = {"serialNumber": "TEMP-000001", "deviceType": TYPE, "status": "active", "manufacturer": "AcmeSensors"}


@pytest.mark.parametrize(
    "wanted, count",
    [
        (Wanted("x", "TEMP-000001", TYPE), 0),
        (Wanted("x", "TEMP-000001", TYPE, "AcmeSensors"), 0),
        (Wanted("x", "TEMP-000001", TYPE, "SensorTech"), 1),
        (Wanted("x", "TEMP-000001", "gateway", "SensorTech", "hall-1"), 3),
    ],
    ids=["same", "same maker", "other maker", "all other"],
)
def test_an_existing_row_differs_only_in_what_the_new_one_says(wanted, count):
    assert len(registry.differences(wanted, EXISTING)) == count
