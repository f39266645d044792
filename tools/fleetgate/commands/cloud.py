"""`fleetgate cloud`: the embedded cloud of an environment."""

from __future__ import annotations

import argparse
import dataclasses

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "cloud", "start, stop and look at the embedded cloud")
    up = common.add_parser(group, "up", "start it unless it runs; on 127.0.0.1, policies enforced, state under build/", _up)
    up.add_argument("--if-embedded", action="store_true", help="do nothing for an environment on AWS")
    common.add_parser(group, "down", "stop it; its state is kept", _down)
    status = common.add_parser(group, "status", "show whether it runs, and where; exit status 1 if it does not", _status)
    status.add_argument("--json", action="store_true", help="for programs")


def _up(args: argparse.Namespace) -> int:
    from fleetgate import cloud

    environment = common.environment(args)
    if args.if_embedded and not environment.settings.embedded_cloud:
        print(f"{environment.name} is on AWS, account {environment.settings.account_id}, {environment.settings.region}")
        return 0
    started = cloud.up(environment, common.say)
    shown = cloud.status(environment)
    verb = "started" if started else "already running"
    print(f"embedded cloud {verb}: {shown.endpoint_url}, MQTT {shown.mqtt}, process {shown.pid}")
    return 0


def _down(args: argparse.Namespace) -> int:
    from fleetgate import cloud

    stopped = cloud.down(common.environment(args))
    print("embedded cloud stopped, its state is kept" if stopped else "embedded cloud was not running")
    return 0


def _status(args: argparse.Namespace) -> int:
    from fleetgate import cloud

    shown = cloud.status(common.environment(args))
    if args.json:
        common.print_json(dataclasses.asdict(shown))
    elif shown.pid is None:
        print(f"embedded cloud: down ({shown.endpoint_url})")
    else:
        state = "ready" if shown.ready else "starting"
        print(f"embedded cloud: {state}, process {shown.pid}, {shown.endpoint_url}, MQTT {shown.mqtt}, files {shown.folder}")
    return 0 if shown.ready else 1
