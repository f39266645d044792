"""Which serial numbers a person may have meant.

A fleet's serials are too many to read them all for a typo. So the words that are one slip away are made here, those that no
device type could have are dropped, and the registry is asked for what is left: the cost does not grow with the fleet.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence

from fleetgate.build import Fleet
from fleetgate.catalogue import SERIAL
from fleetgate.errors import FleetgateError, fail
from fleetgate.registry import Registry

#: So many are asked for at most: five requests to the table.
MAXIMUM_CANDIDATES = 500
#: So many are named at most.
SHOWN = 3
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase + "-_"


def candidates(word: str, patterns: Sequence[str], prefixes: Iterable[str] = ()) -> list[str]:
    """Serials that `word` may stand for, likelier ones first: a thing's name, another case, one slip of the finger.

    patterns: of the device types' serials, in full. prefixes: what a thing's name has before its serial.
    """
    found: dict[str, None] = {}
    plain = word.strip()[:256]
    stems = [plain, *(plain.removeprefix(prefix) for prefix in prefixes if prefix and plain.startswith(prefix))]
    for stem in dict.fromkeys(stems):
        upper = stem.upper()
        for base in dict.fromkeys((stem, upper, upper.replace("_", "-"), upper.replace(" ", "-"))):
            for candidate in (base, *_padded(base), *_slips(base)):
                if candidate != word and candidate not in found and _is_serial(candidate, patterns):
                    found[candidate] = None
                    if len(found) == MAXIMUM_CANDIDATES:
                        return list(found)
    return list(found)


def similar(fleet: Fleet, table: Registry, serial: str) -> list[str]:
    """Serials that there are and that may have been meant, the likeliest first."""
    kinds = fleet.catalogue.device_types.values()
    prefixes = [names.thing_prefix for names in fleet.names.types.values()]
    wanted = candidates(serial, [kind.serial_pattern for kind in kinds], prefixes)
    there = table.which(wanted)
    return [candidate for candidate in wanted if candidate in there][:SHOWN]


def unknown(fleet: Fleet, table: Registry, serial: str) -> FleetgateError:
    """The error of a serial that the registry does not have; names those that may have been meant."""
    near = similar(fleet, table, serial)
    meant = f"did you mean {' or '.join(near)}? otherwise " if near else ""
    remedy = f"{meant}see what there is: fleetgate registry list --env {fleet.environment.name}"
    return fail(f"serial {serial!r:.80}", f"is not in the registry {fleet.names.table}", remedy)


def _is_serial(text: str, patterns: Sequence[str]) -> bool:
    return bool(re.fullmatch(SERIAL, text)) and any(re.fullmatch(pattern, text, re.ASCII) for pattern in patterns)


def _padded(word: str) -> Iterator[str]:
    """`TEMP-17` as it may have been meant: `TEMP-000017`."""
    counted = re.fullmatch(r"(.*?)0*([0-9]+)", word, re.DOTALL)
    if counted:
        stem, number = counted.groups()
        yield from (f"{stem}{number.zfill(length)}" for length in range(len(number), 13))


def _slips(word: str) -> Iterator[str]:
    """Two characters changed about, one too many, another one, one too few; the end of a serial differs the most often."""
    if len(word) > 64:
        return
    places = range(len(word) - 1, -1, -1)
    for at in places:
        if at:
            yield word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    for at in places:
        yield word[:at] + word[at + 1 :]
    for at in places:
        yield from (word[:at] + character + word[at + 1 :] for character in _ALPHABET)
    for at in range(len(word), -1, -1):
        yield from (word[:at] + character + word[at:] for character in _ALPHABET)
