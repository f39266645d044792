"""The `fleetgate` command. Exit status: 0 done, 1 bad input or findings, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fleetgate.commands import build, catalogue, claim, cloud, deploy, device, registry, smoke
from fleetgate.errors import FleetgateError


def parser() -> argparse.ArgumentParser:
    """The whole command line; cheap to build, since commands import their work when they run."""
    top = argparse.ArgumentParser(
        prog="fleetgate",
        description="AWS IoT Core fleet provisioning and certificate management.",
        epilog="Start with `make apply`: it runs the whole way on an embedded cloud, without an AWS account.",
    )
    top.add_argument("--root", metavar="FOLDER", help="the checkout to work on (default: the one around the current folder)")
    top.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in (catalogue, build, deploy, smoke, cloud, claim, registry, device):
        module.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except FleetgateError as error:
        if args.debug:
            raise
        print(f"fleetgate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fleetgate: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`): say nothing more, and do not let the interpreter try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug or not _is_foreign(error):
            raise
        print(f"fleetgate: {_explain(error, args)}", file=sys.stderr)
        return 1


def _is_foreign(error: Exception) -> bool:
    """Errors of the world outside (network, credentials, files): a person can mend those, so they get a sentence."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("botocore", "boto3")


def _explain(error: Exception, args: argparse.Namespace) -> str:
    name = type(error).__name__
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if name in ("EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError") and endpoint:
        return f"{endpoint}: the embedded cloud does not answer\n    -> run: fleetgate cloud up --env {args.env}"
    if name in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "SSOTokenLoadError"):
        return "AWS: no usable credentials\n    -> put AWS credentials into the environment (aws configure, aws sso login)"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}\n    -> check that it exists and that you may use it"
    return f"{name}: {error}\n    -> see the message; --debug shows where it happened"
