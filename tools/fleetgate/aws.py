"""Clients of the AWS APIs. Which cloud they reach is the process environment's business (see Environment.enter)."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from fleetgate.environment import ACCOUNT_VARIABLE, DeviceEndpoint, Environment
from fleetgate.errors import fail

#: What AWS's services say where credentials may not do something; which one a service says is not told by its kind.
DENIED = ("AccessDenied", "AccessDeniedException", "ForbiddenException", "UnauthorizedException", "UnauthorizedOperation")
#: Making a client takes a processor for a while; threads that want the same one wait for it instead of making their own.
_MAKING = threading.Lock()


def client(service: str, region: str | None = None) -> Any:
    """The boto3 client of `service`, one for the process; safe to share between threads. region: default the environment's.

    Raises FleetgateError if the credentials belong to another account than the environment's: nothing may reach that one.
    """
    endpoint, here = os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_REGION", "")
    with _MAKING:
        _require_account(os.environ.get(ACCOUNT_VARIABLE, ""), endpoint, here)
        return _client(service, endpoint, region or here, None)


def iot_data() -> Any:
    """The client for shadows. AWS serves them at the account's own endpoint, an override at the same place as all else."""
    endpoint, region = os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_REGION", "")
    url = endpoint or f"https://{_data_endpoint()}"
    with _MAKING:
        _require_account(os.environ.get(ACCOUNT_VARIABLE, ""), endpoint, region)
        return _client("iot-data", url, region, url)


def device_endpoint(environment: Environment) -> DeviceEndpoint:
    """Where this environment's devices connect with mutual TLS."""
    settings = environment.settings
    if settings.embedded_cloud:
        return DeviceEndpoint(host="127.0.0.1", port=settings.embedded_cloud.mqtt_port, ca_file=str(environment.cloud_ca_file))
    return settings.device_endpoint or DeviceEndpoint(host=_data_endpoint())


def _data_endpoint() -> str:
    return str(client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"])


def account_of(config: Any) -> str:
    """The account of these credentials, asked with a client of its own; config: how patiently."""
    import boto3

    return str(boto3.session.Session().client("sts", config=config).get_caller_identity()["Account"])


@functools.cache
def _require_account(account: str, endpoint: str, region: str) -> None:
    found = _client("sts", endpoint, region, None).get_caller_identity()["Account"]
    if found != account:
        remedy = "use credentials of that account, or another --env"
        raise fail("AWS credentials", f"belong to account {found}, the environment to {account or 'none'}", remedy)


@functools.cache
def _client(service: str, endpoint: str, region: str, endpoint_url: str | None) -> Any:
    # endpoint is only here to tell two clouds apart in one process (tests): botocore reads it itself.
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=5, read_timeout=60)
    return boto3.session.Session().client(service, config=config, endpoint_url=endpoint_url, region_name=region or None)
