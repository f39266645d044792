"""The `fleetgate` command. Exit status: 0 done, 1 bad input or findings, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from fleetgate.commands import common
from fleetgate.errors import FleetgateError

#: The commands in the order of the help, by the module that has them: what checks, what works, what cares for a fleet.
COMMANDS: dict[str, tuple[str, ...]] = {
    "catalogue": ("catalogue",),
    "lint": ("lint", "explain"),
    "authorize": ("authorize",),
    "isolation": ("isolation",),
    "access_diff": ("access-diff",),
    "capacity": ("capacity",),
    "build": ("render", "package"),
    "deploy": ("plan", "apply", "drain", "destroy"),
    "drift": ("drift",),
    "smoke": ("smoke",),
    "cloud": ("cloud",),
    "bootstrap": ("bootstrap",),
    "state": ("state",),
    "deployer_policy": ("deployer-policy",),
    "claim": ("claim",),
    "registry": ("registry",),
    "device": ("device",),
    "devices": ("devices",),
    "revoke": ("revoke",),
    "orphans": ("orphans",),
    "redrive": ("redrive",),
    "doctor": ("doctor",),
    "audit": ("audit",),
    "dashboard": ("dashboard",),
    "github": ("github",),
}
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Parser(argparse.ArgumentParser):
    """Names the command that a mistyped one is near to, and keeps the words of the command that was found."""

    def __init__(self, **options: Any) -> None:
        # A prefix of an option may be another one's tomorrow, and a file's name may look like one today.
        super().__init__(**{**options, "allow_abbrev": False})
        # argparse makes the subcommands of this class too, and lets the innermost one have the last word.
        self.set_defaults(command=self.prog)

    def error(self, message: str) -> NoReturn:
        if message.endswith(": COMMAND"):
            listed = [name for action in self._actions for name in action.choices or () if action.dest == argparse.SUPPRESS]
            message += f"\n  one of: {', '.join(listed)}\n  {self.prog} --help says what they do"
        super().error(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            from difflib import get_close_matches

            if near := get_close_matches(str(value), list(action.choices or ()), 1):
                error.message += f"; did you mean {near[0]}?"
            raise


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"fleetgate {version('fleetgate')}")
        parser.exit()


def parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The command line: of the command that `argv` names, or of all. A hook that runs on every commit pays for one."""
    top = _Parser(
        prog="fleetgate",
        description="AWS IoT Core fleet provisioning and certificate management.",
        epilog="Start with `make apply`: it runs the whole way on an embedded cloud, without an AWS account. Exit status: 0 done;"
        " 1 bad input, a refusal, findings, or something that failed; 2 wrong usage, and of commands whose 1 is an answer (lint,"
        " doctor, drift, audit, ...: see their --help) also that there is none; 130 interrupted.",
    )
    top.add_argument("--root", metavar="FOLDER", help="the checkout to work on (default: the one around the current folder)")
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and end")
    top.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = top.add_subparsers(metavar="COMMAND", required=True, prog=top.prog)
    asked = _command(argv)
    for module in [name for name, words in COMMANDS.items() if asked in words] or COMMANDS:
        import_module(f"fleetgate.commands.{module}").add(commands)
    return top


def _command(argv: Sequence[str]) -> str | None:
    """The word that argparse will take for the command; None where that is not sure."""
    words = iter(argv)
    for word in words:
        if word == "--root":
            next(words, None)
        elif not word.startswith("-"):
            return word
        elif word != "--debug" and not word.startswith("--root="):
            return None  # help for all of it, or something that argparse has to say
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser(argv).parse_args(argv)
    try:
        status = int(args.run(args))
        print(end="", flush=True)  # a failure at the interpreter's own end would be a status of 120
        return status
    except FleetgateError as error:
        if args.debug:
            raise
        print(common.told(error), file=sys.stderr)
        return int(getattr(args, "failed", 1))  # 2 of a command whose 1 is an answer
    except KeyboardInterrupt:
        print(f"fleetgate: interrupted; {getattr(args, 'again', f'{args.command} can be run again')}", file=sys.stderr)
        # Threads may still be tidying up; whoever cannot wait ends them by another Ctrl-C, which has no traceback then.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return 130
    except BrokenPipeError:
        _discard_output()  # its reader has gone (`… | head`): say nothing more
        return 1
    except Exception as error:
        if args.debug:
            raise
        if not _is_foreign(error):
            return _own_mistake(error, args)
        print(f"fleetgate: {_explain(error, args)}", file=sys.stderr)
        try:
            print(end="", flush=True)
        except OSError:
            _discard_output()
        return int(getattr(args, "failed", 1))


def _own_mistake(error: Exception, args: argparse.Namespace) -> int:
    """Nobody outside can mend it, and it may not come again: so its traceback is shown. Its status is no answer."""
    import traceback

    traceback.print_exception(error)
    print(
        f"fleetgate: {args.command}: that is a mistake in fleetgate itself\n    -> report it, with the lines above",
        file=sys.stderr,
    )
    return int(getattr(args, "failed", 1))


def _discard_output() -> None:
    """What could not be written stays in the buffer: the interpreter would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_foreign(error: Exception) -> bool:
    """Errors of the world outside (network, credentials, files): a person can mend those, so they get a sentence."""
    if isinstance(error, ModuleNotFoundError):
        return error.name is not None and not error.name.startswith("fleetgate")
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("botocore", "boto3")


def _explain(error: Exception, args: argparse.Namespace) -> str:
    name = type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        # A pre-commit hook's environment has only what linting needs.
        return f"{args.command}: the package {error.name} is not installed\n    -> run: pip install 'fleetgate[deploy]'"
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if name == "ResponseParserError" and endpoint:
        remedy = f"stop it, or choose another port under embedded_cloud in terraform/envs/{args.env}.yaml"
        return f"{endpoint}: what answers there is not the embedded cloud\n    -> {remedy}"
    if name in ("EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError") and endpoint:
        return f"{endpoint}: the embedded cloud does not answer\n    -> run: fleetgate cloud up --env {args.env}"
    if name in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "SSOTokenLoadError"):
        return "AWS: no usable credentials\n    -> put AWS credentials into the environment (aws configure, aws sso login)"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}\n    -> check that it exists and that you may use it"
    if isinstance(error, OSError) and error.errno in _UNWRITTEN:  # which say no file's name
        return f"{args.command}: its output cannot be written: {error.strerror}\n    -> make room there, or write it elsewhere"
    return f"{name}: {error}\n    -> see the message; --debug shows where it happened"
