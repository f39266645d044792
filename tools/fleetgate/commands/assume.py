"""The option --assume of the commands that judge policies."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetgate.iot_policy.assumptions import Assumptions


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(refuse=parser.error)
    parser.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set what AWS leaves open; `fleetgate authorize --assumptions` lists it",
    )


def made(args: argparse.Namespace) -> Assumptions:
    """The assumptions of the command line. A name or value that does not exist is wrong usage."""
    from difflib import get_close_matches

    from fleetgate.iot_policy import assumptions

    found = assumptions.DEFAULT
    for text in args.assume:
        name, _, value = text.partition("=")
        try:
            found = assumptions.with_value(found, name, value)
        except KeyError:
            near = get_close_matches(name, assumptions.names(), 3, 0.5)
            meant = f"did you mean {' or '.join(near)}?" if near else "`fleetgate authorize --assumptions` lists them"
            args.refuse(f"argument --assume: there is no assumption {name!r:.60}; {meant}")
        except ValueError as error:
            args.refuse(f"argument --assume: {error}")
    return found
