"""`fleetgate deployer-policy`: what the role needs that applies an environment."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "deployer-policy",
        "print the IAM policies under which plan, apply, smoke and destroy run, and no wider",
        _show,
    )
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="write one file for each document there, for aws iam create-policy"
    )
    parser.add_argument(
        "--plan-only",
        action="store_true",
        help="for a role that can plan and write nothing, not even the state's lock: give the plan -lock=false",
    )
    parser.add_argument("--github", metavar="OWNER/REPO", type=_repository, help="a trust policy for its GitHub Actions as well")
    parser.add_argument(
        "--subject",
        metavar="SUB",
        action="append",
        default=[],
        help="the `sub` that GitHub's token must have; may be repeated (default: repo:OWNER/REPO:environment:NAME, "
        "with --plan-only repo:OWNER/REPO:pull_request and repo:OWNER/REPO:ref:refs/heads/main)",
    )


def _repository(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is no repository; write OWNER/REPO")
    return text


def _show(args: argparse.Namespace) -> int:
    from fleetgate import build, deployer
    from fleetgate import environment as environments
    from fleetgate.errors import fail

    for subject in args.subject:
        if args.github is None or not subject.startswith(f"repo:{args.github}:") or "*" in subject:
            raise fail(
                f"--subject {subject!r:.120}", "would let others in", "write repo:OWNER/REPO:…, of --github, without a wildcard"
            )
    environment = environments.load(common.root(args), args.env)  # not entered: it asks no cloud
    fleet = build.compile_fleet(environment)
    documents = deployer.policies(environment, fleet.names, plan_only=args.plan_only)
    if args.github:
        documents[f"{fleet.names.prefix}-{'planner' if args.plan_only else 'deployer'}-trust"] = deployer.trust(
            environment, args.github, args.subject, plan_only=args.plan_only
        )
    if args.output is None:
        common.print_json(documents)
        return 0
    args.output.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        path = args.output / f"{name}.json"
        path.write_text(deployer.to_text(document), encoding="utf-8")
        print(path)
    return 0
