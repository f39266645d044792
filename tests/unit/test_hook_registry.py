"""How DynamoDB's answers are read: what is a denial, what is a row, and what is ours to mend."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
)

import hook_events
import lambdas

hook = lambdas.modules("provisioning_hook", "decision", "registry")
NOW = 1_795_424_400_123
CLAIM = hook.decision.Claim(
    serial=hook_events.SERIAL,
    device_type=hook_events.TYPE,
    open_enrolment=False,
    thing_name=hook_events.THING,
    manufacturer="AcmeSensors",
    firmware="1.10.0",
    location=None,
    certificate_id="c" * 64,
    claim_certificate_id="d" * 64,
)


class Client:
    def __init__(self, answer):
        self.answer, self.requests = answer, []

    def update_item(self, **request):
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def refusal(code, status=400, **more):
    return ClientError(
        {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}, "UpdateItem"
    )


def lease(answer):
    return hook.registry.lease(Client(answer), lambdas.TABLE, CLAIM, NOW, 600_000)


@pytest.mark.parametrize(
    "error",
    [
        refusal("ThrottlingException"),
        refusal("ProvisionedThroughputExceededException"),
        refusal("RequestLimitExceeded"),
        refusal("InternalServerError", 500),
        refusal("ServiceUnavailable", 503),
        refusal("TransactionConflictException"),
        refusal("502", 502),
        EndpointConnectionError(endpoint_url="https://x"),
        ConnectTimeoutError(endpoint_url="https://x"),
        ReadTimeoutError(endpoint_url="https://x"),
        ConnectionClosedError(endpoint_url="https://x"),
        HTTPClientError(error="x"),
    ],
    ids=lambda error: error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__,
)
def test_a_registry_that_cannot_answer_now_is_unavailable(error):
    assert lease(error) == hook.decision.Unavailable()


@pytest.mark.parametrize(
    "error",
    [
        refusal("AccessDeniedException"),
        refusal("ResourceNotFoundException"),
        refusal("ValidationException"),
        refusal("UnrecognizedClientException"),
        NoCredentialsError(),
    ],
    ids=lambda error: error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__,
)
def test_a_mistake_of_the_deployment_raises(error):
    with pytest.raises(type(error)):
        lease(error)


def test_the_row_that_failed_the_condition_comes_back():
    item = {"deviceType": {"S": "gateway"}, "status": {"S": "active"}, "leasedAt": {"N": "17"}, "location": {"S": "x"}}
    assert lease(refusal("ConditionalCheckFailedException", Item=item)) == hook.decision.Held(
        hook.decision.Row("gateway", "active", None, "x", None, 17)
    )


def test_a_failed_condition_without_a_row_is_an_unknown_serial():
    assert lease(refusal("ConditionalCheckFailedException")) == hook.decision.Held(None)


def test_the_lease_is_one_request_that_asks_for_the_row_either_way():
    client = Client({"Attributes": {"leasedAt": {"N": str(NOW)}}})
    assert hook.registry.lease(client, lambdas.TABLE, CLAIM, NOW, 600_000) == hook.decision.Leased(
        hook.decision.Row(None, None, None, None, None, NOW)
    )
    (request,) = client.requests
    assert request["TableName"] == lambdas.TABLE
    assert request["ReturnValues"] == "ALL_NEW"
    assert request["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    assert request["ExpressionAttributeValues"][":expires"] == {"N": str(NOW + 600_000)}
