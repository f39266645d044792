"""What public documentation and repositories put into AWS IoT policies, in our own words and names, and what lint says of it.

Each case: what it is modelled on, the policy, and the ids of the findings at medium and above. A policy of a documentation is not
wrong for being short: those without Connect are parts of a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy

CLIENT = "${iot:ClientId}"
COMMON_NAME = "${iot:Certificate.Subject.CommonName}"
ATTACHED = {"iot:Connection.Thing.IsAttached": "true"}
PLACE = "arn:aws:iot:region:account-id"


@dataclass(frozen=True)
class Case:
    """id: a sentence. of: what it is modelled on. found: rule ids at medium and above."""

    id: str
    of: str
    policy: Any
    found: frozenset[str] = frozenset()


def case(id: str, of: str, document: Any, *found: str) -> Case:
    return Case(id, of, document, frozenset(found))


def as_thing(*statements: dict[str, Any]) -> dict[str, Any]:
    """Without IsAttached, as most of AWS' examples are: the variable has no value for a certificate without that thing."""
    return policy(allow("iot:Connect", f"{ARN}:client/{THING}"), *statements)


def as_clients(*statements: dict[str, Any]) -> dict[str, Any]:
    """Devices that are not registered, under client ids that are written out."""
    return policy(allow("iot:Connect", f"{ARN}:client/scale1", f"{ARN}:client/scale2"), *statements)


def features(operator: str, *names: str) -> dict[str, Any]:
    return {operator: {"iot:ConnectAttributes": list(names)}}


def core(name: str, *, connect: str = "client/hall-core*") -> dict[str, Any]:
    """AWS' smallest policy for a Greengrass V2 core device."""
    topics = [
        f"topic/$aws/things/{name}/{end}" for end in ("greengrass/health/json", "greengrassv2/health/json", "jobs/*", "shadow/*")
    ]
    filters = [f"topicfilter/$aws/things/{name}/{end}" for end in ("jobs/*", "shadow/*")]
    return policy(
        allow("iot:Connect", f"{PLACE}:{connect}"),
        allow(["iot:Receive", "iot:Publish"], *(f"{PLACE}:{topic}" for topic in topics)),
        allow("iot:Subscribe", *(f"{PLACE}:{one}" for one in filters)),
        allow(["iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow"], f"{PLACE}:thing/{name}"),
        allow("iot:AssumeRoleWithCertificate", f"{PLACE}:rolealias/hall-core-exchange"),
        allow(
            [
                "greengrass:GetComponentVersionArtifact",
                "greengrass:ResolveComponentCandidates",
                "greengrass:GetDeploymentConfiguration",
                "greengrass:ListThingGroupsForCoreDevice",
            ],
            "*",
        ),
    )


def claim(connect: str, *extra: dict[str, Any], template: str = "scales") -> dict[str, Any]:
    asked = ("$aws/certificates/create/*", f"$aws/provisioning-templates/{template}/provision/*")
    return policy(
        allow("iot:Connect", connect),
        allow(["iot:Publish", "iot:Receive"], *(f"{ARN}:topic/{topic}" for topic in asked)),
        allow("iot:Subscribe", *(f"{ARN}:topicfilter/{topic}" for topic in asked)),
        *extra,
    )


def jobs(job_resource: str) -> dict[str, Any]:
    """AWS' basic job policy."""
    return policy(
        allow("iot:Connect", f"{ARN}:client/scale1"),
        allow("iot:Publish", f"{ARN}:topic/shop/out", f"{ARN}:topic/$aws/things/scale1/jobs/*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/shop/in", f"{ARN}:topicfilter/$aws/things/scale1/jobs/*"),
        allow("iot:Receive", f"{ARN}:topic/shop/in", f"{ARN}:topic/$aws/things/scale1/jobs/*"),
        allow(
            [
                "iotjobsdata:DescribeJobExecution",
                "iotjobsdata:GetPendingJobExecutions",
                "iotjobsdata:StartNextPendingJobExecution",
                "iotjobsdata:UpdateJobExecution",
            ],
            f"{ARN}:{job_resource}",
        ),
    )


def shadow(answer: str) -> dict[str, Any]:
    topic = f"$aws/things/scale1/shadow/{answer}"
    return policy(allow("iot:Subscribe", f"{ARN}:topicfilter/{topic}"), allow("iot:Receive", f"{ARN}:topic/{topic}"))


CASES = (
    # Connect policy examples
    case("one client id", "connect-policy", policy(allow("iot:Connect", f"{ARN}:client/scale1"))),
    case(
        "all registered things but two",
        "connect-policy",
        policy(
            deny("iot:Connect", f"{ARN}:client/scale1", f"{ARN}:client/scale2"), allow("iot:Connect", f"{ARN}:client/{THING}")
        ),
    ),
    case(
        "anybody, with persistent sessions",
        "connect-policy",
        policy(allow("iot:Connect", "*", **features("ForAllValues:StringEquals", "PersistentConnect"))),
        "B01",
        "K02",
    ),
    case(
        "anybody, but no persistent session",
        "connect-policy",
        policy(allow("iot:Connect", "*"), deny("iot:Connect", "*", **features("ForAnyValue:StringEquals", "PersistentConnect"))),
        "B01",
    ),
    case(
        "anybody, with default features only",
        "connect-policy",
        policy(allow("iot:Connect", "*", **features("ForAllValues:StringEquals"))),
        "B01",
    ),
    case(
        "anybody, with one last-will topic",
        "connect-policy",
        policy(allow("iot:Connect", "*", ArnEquals={"iot:LastWillTopic": f"{ARN}:topic/shop/gone"})),
        "B01",
    ),
    case(
        "a registered thing with a last will of its own",
        "connect-policy",
        policy(
            allow(
                "iot:Connect",
                f"{ARN}:client/{THING}",
                Bool=ATTACHED,
                **{"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}},
            ),
            allow(["iot:Publish", "iot:RetainPublish"], f"{ARN}:topic/shop/{THING}/gone"),
        ),
    ),
    case(
        "a last will that nothing may publish",
        "policy-semantics A07",
        policy(
            allow(
                "iot:Connect",
                f"{ARN}:client/{THING}",
                Bool=ATTACHED,
                **{"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}},
            ),
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/{THING}"),
            allow("iot:Receive", f"{ARN}:topic/shop/{THING}"),
        ),
        "A07",
    ),
    case(
        "subscribes and never receives",
        "connect-policy, registered devices",
        as_thing(allow("iot:Subscribe", f"{ARN}:topicfilter/shop/prices")),
        "A07",
    ),
    # Publish and subscribe
    case("publishes below its own name", "pub-sub-policy", as_thing(allow("iot:Publish", f"{ARN}:topic/{THING}/*"))),
    case("publishes below its client id", "pub-sub-policy", as_clients(allow("iot:Publish", f"{ARN}:topic/{CLIENT}/*"))),
    case(
        "subscribes to a prefix within its own branch",
        "pub-sub-policy",
        as_thing(
            allow("iot:Subscribe", f"{ARN}:topicfilter/{THING}/aisle*"), allow("iot:Receive", f"{ARN}:topic/{THING}/aisle*")
        ),
    ),
    case(
        "subscribes to a prefix within its client id's branch",
        "pub-sub-policy",
        as_clients(
            allow("iot:Subscribe", f"{ARN}:topicfilter/{CLIENT}/aisle*"), allow("iot:Receive", f"{ARN}:topic/{CLIENT}/aisle*")
        ),
    ),
    case(
        "publishes, subscribes and receives on one topic",
        "pub-sub-policy",
        as_thing(
            allow(["iot:Publish", "iot:Receive"], f"{ARN}:topic/shop/prices"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/prices"),
        ),
    ),
    case(
        "every topic with a prefix, as AWS shows it with a warning",
        "pub-sub-policy, specific prefix",
        policy(
            CONNECT,
            allow(["iot:Publish", "iot:Receive"], f"{ARN}:topic/shop_*"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop_*"),
        ),
    ),
    case(
        "every topic with a prefix that ends in a letter",
        "pub-sub-policy, specific prefix",
        policy(
            CONNECT,
            allow(["iot:Publish", "iot:Receive"], f"{ARN}:topic/shopprefix*"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/shopprefix*"),
        ),
    ),
    case(
        "the device's own topics in a shared hierarchy",
        "pub-sub-policy, topics specific to each device",
        policy(
            CONNECT,
            allow(["iot:Publish", "iot:Receive"], f"{ARN}:topic/shop/scale/{THING}"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/scale/{THING}"),
        ),
    ),
    case(
        "a thing's attribute in the topic",
        "pub-sub-policy, thing attribute in topic name",
        policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/${{iot:Connection.Thing.Attributes[branch]}}/weight")),
        "V04",
    ),
    case(
        "a subtopic is denied for publishing",
        "pub-sub-policy, deny publishing",
        policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/shop/*"), deny("iot:Publish", f"{ARN}:topic/shop/till/*")),
    ),
    case(
        "subtopics are denied for receiving",
        "pub-sub-policy, deny receiving",
        policy(
            CONNECT,
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/*"),
            allow("iot:Receive", f"{ARN}:topic/shop/*"),
            deny("iot:Receive", f"{ARN}:topic/shop/till/*"),
        ),
    ),
    case(
        "one filter with an MQTT wildcard, and what it matches",
        "pub-sub-policy, MQTT wildcard characters",
        policy(
            CONNECT,
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/+/prices"),
            allow("iot:Receive", f"{ARN}:topic/shop/*/prices"),
        ),
    ),
    case(
        "all filters of a form",
        "pub-sub-policy, MQTT wildcard characters",
        policy(
            CONNECT,
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/*/prices", f"{ARN}:topicfilter/shop/#"),
            allow("iot:Receive", f"{ARN}:topic/shop/*"),
        ),
    ),
    case(
        "everything but one topic, by NotResource",
        "pub-sub-policy, NotResource",
        policy(CONNECT, {"Effect": "Allow", "Action": ["iot:Publish"], "NotResource": [f"{ARN}:topic/shop/till"]}),
        "A08",
        "B02",
    ),
    case(
        "denies what it does not name",
        "guard rail",
        policy(
            CONNECT,
            allow("iot:Publish", f"{ARN}:topic/shop/{THING}/*"),
            {"Effect": "Deny", "Action": ["iot:Publish"], "NotResource": [f"{ARN}:topic/shop/*"]},
        ),
    ),
    case(
        "the variable of an old page, in an Allow",
        "pub-sub-policy of 2023",
        as_thing(allow("iot:Publish", f"{ARN}:topic/shop/${{iot:Thing.ThingName}}")),
        "V01",
    ),
    case(
        "the variable of an old page, in a Deny",
        "pub-sub-policy of 2023",
        as_thing(
            allow("iot:Publish", f"{ARN}:topic/{THING}/*"), deny("iot:Publish", f"{ARN}:topic/${{iot:Thing.ThingName}}/till")
        ),
        "V01",
    ),
    case(
        "a Deny with the thing's name, where only things connect",
        "pub-sub-policy, mended",
        as_thing(allow("iot:Publish", f"{ARN}:topic/{THING}/*"), deny("iot:Publish", f"{ARN}:topic/{THING}/till")),
    ),
    case(
        "a web client's identity, in the web client's policy",
        "pub-sub-policy, HTTP and WebSocket clients",
        policy(
            allow("iot:Publish", f"{ARN}:topic/${{cognito-identity.amazonaws.com:sub}}"),
            allow("iot:Connect", f"{ARN}:client/${{cognito-identity.amazonaws.com:sub}}"),
        ),
    ),
    case(
        "a web client's identity, in a device's policy",
        "pub-sub-policy, misunderstood",
        policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/shop/${{cognito-identity.amazonaws.com:sub}}")),
        "V10",
    ),
    # Basic, thing and certificate variables
    case(
        "the client id decides, and anybody has any",
        "basic-policy-variables of 2019",
        policy(allow("iot:Connect", f"{ARN}:client/{CLIENT}"), allow("iot:Publish", f"{ARN}:topic/shop/{CLIENT}")),
        "B01",
        "V03",
    ),
    case(
        "the client id in a filter, by itself",
        "basic-policy-variables",
        policy(allow("iot:Subscribe", f"{ARN}:topicfilter/shop/{CLIENT}/prices")),
    ),
    case(
        "one client id, from one address",
        "basic-policy-variables",
        policy(
            allow("iot:Connect", f"{ARN}:client/scale1"),
            allow("iot:Publish", f"{ARN}:topic/shop/{CLIENT}", IpAddress={"aws:SourceIp": "198.51.100.17"}),
        ),
    ),
    case(
        "only over the shop's own domain",
        "basic-policy-variables, iot:DomainName",
        policy(
            allow("iot:Connect", f"{ARN}:client/scale1", StringEquals={"iot:DomainName": "iot.shop.example"}),
            allow("iot:Publish", f"{ARN}:topic/shop/{CLIENT}"),
        ),
    ),
    case("whoever is attached", "thing-policy-examples", policy(allow("iot:Connect", "*", Bool={**ATTACHED}))),
    case(
        "whoever is attached, as a list",
        "thing-policy-examples",
        policy(allow("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": ["true"]})),
    ),
    case(
        "a type and an attribute as conditions",
        "thing-policy-examples",
        policy(
            allow(
                "iot:Publish",
                f"{ARN}:topic/shop/weights",
                StringEquals={"iot:Connection.Thing.Attributes[branch]": "north", "iot:Connection.Thing.ThingTypeName": "Scale"},
                Bool=ATTACHED,
            )
        ),
    ),
    case(
        "the certificate's id as topic",
        "certificate-policy-examples",
        as_thing(allow("iot:Publish", f"{ARN}:topic/${{iot:CertificateId}}")),
    ),
    case(
        "the certificate's common name as topic",
        "certificate-policy-examples",
        as_clients(allow("iot:Publish", f"{ARN}:topic/{COMMON_NAME}")),
    ),
    case(
        "the second common name is the administrator's",
        "certificate-policy-examples",
        as_thing(allow("iot:Publish", f"{ARN}:topic/office/*", StringEquals={"iot:Certificate.Subject.CommonName.2": "Manager"})),
    ),
    case(
        "any of the common names is the administrator's",
        "certificate-policy-examples",
        as_thing(
            allow(
                "iot:Publish",
                f"{ARN}:topic/office/{THING}",
                **{"ForAnyValue:StringEquals": {"iot:Certificate.Subject.CommonName.List": "Manager"}},
            )
        ),
    ),
    case(
        "only certificates of two organisations, or of none",
        "cert-policy-variables",
        as_thing(
            allow(
                "iot:Publish",
                f"{ARN}:topic/shop/{THING}",
                **{"ForAllValues:StringEquals": {"iot:Certificate.Subject.Organization.List": ["Shop Ltd", "Scales Ltd"]}},
            )
        ),
        "K02",
    ),
    case(
        "the client id is the certificate's common name",
        "a common pattern for certificates of one's own CA",
        policy(
            allow("iot:Connect", f"{ARN}:client/{COMMON_NAME}"),
            allow("iot:Publish", f"{ARN}:topic/shop/{COMMON_NAME}/*"),
            allow("iot:Publish", f"{ARN}:topic/log/{CLIENT}"),
        ),
    ),
    # Retained messages
    case(
        "keeps its settings as a retained message",
        "retained-message-policy-examples",
        policy(
            allow("iot:Connect", f"{ARN}:client/scale1"),
            allow(["iot:Publish", "iot:RetainPublish"], f"{ARN}:topic/shop/scale/settings"),
        ),
    ),
    case(
        "any client leaves a retained last will",
        "retained-message-policy-examples",
        policy(
            allow("iot:Connect", f"{ARN}:client/*", **features("ForAllValues:StringEquals", "LastWill")),
            allow(["iot:Publish", "iot:RetainPublish"], f"{ARN}:topic/shop/gone"),
        ),
        "B01",
        "K02",
    ),
    case(
        "an application lists and reads retained messages",
        "retained-message-policy-examples",
        policy(allow("iot:ListRetainedMessages", "*"), allow("iot:GetRetainedMessage", f"{ARN}:topic/shop/prices")),
    ),
    case(
        "the console's connection wizard",
        "the policy that AWS' console writes",
        policy(
            allow(
                ["iot:Publish", "iot:Receive", "iot:PublishRetain"], f"{ARN}:topic/sdk/test/scale", f"{ARN}:topic/sdk/test/till"
            ),
            allow("iot:Subscribe", f"{ARN}:topicfilter/sdk/test/scale", f"{ARN}:topicfilter/sdk/test/till"),
            allow("iot:Connect", f"{ARN}:client/sdk-scale", f"{ARN}:client/basicShop", f"{ARN}:client/sdk-till-*"),
        ),
        "A01",
        "B10",
    ),
    # Jobs and shadows
    case("jobs of one thing", "basic-jobs-example, mended", jobs("thing/scale1")),
    case("job actions on a topic", "basic-jobs-example", jobs("topic/$aws/things/scale1"), "R02"),
    case(
        "publishes and subscribes to job topics, all as topic/",
        "iot-data-plane-jobs",
        policy(
            allow(
                ["iot:Publish", "iot:Subscribe"],
                f"{PLACE}:topic/$aws/events/job/*",
                f"{PLACE}:topic/$aws/events/jobExecution/*",
                f"{PLACE}:topic/$aws/things/scale1/jobs/*",
            )
        ),
        "R02",
        "B07",
    ),
    case(
        "jobs over HTTPS",
        "iot-data-plane-jobs",
        policy(
            allow(["iotjobsdata:GetPendingJobExecutions", "iotjobsdata:UpdateJobExecution"], f"{PLACE}:thing/scale1"),
        ),
    ),
    case(
        "asks for its shadow", "device-shadow-mqtt", policy(allow("iot:Publish", f"{PLACE}:topic/$aws/things/scale1/shadow/get"))
    ),
    case("hears its shadow", "device-shadow-mqtt", shadow("get/accepted")),
    case("hears what changes", "device-shadow-mqtt", shadow("update/delta")),
    case("hears whole documents of a named shadow", "device-shadow-mqtt", shadow("name/settings/update/documents")),
    case(
        "a statement without Effect",
        "device-shadow-mqtt of 2023",
        policy(
            allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/things/scale1/shadow/get/rejected"),
            {"Action": ["iot:Receive"], "Resource": [f"{ARN}:topic/$aws/things/scale1/shadow/get/rejected"]},
        ),
        "S03",
    ),
    case(
        "own shadow, jobs, streams, tunnels and defender metrics",
        "device client: all features",
        policy(
            CONNECT,
            allow(
                ["iot:Publish", "iot:Receive"],
                *(f"{ARN}:topic/$aws/things/{THING}/{end}" for end in ("shadow/*", "jobs/*", "streams/*", "defender/metrics/*")),
            ),
            allow("iot:Receive", f"{ARN}:topic/$aws/things/{THING}/tunnels/notify"),
            allow(
                "iot:Subscribe",
                *(
                    f"{ARN}:topicfilter/$aws/things/{THING}/{end}"
                    for end in ("shadow/*", "jobs/*", "streams/*", "defender/metrics/*")
                ),
                f"{ARN}:topicfilter/$aws/things/{THING}/tunnels/notify",
            ),
        ),
    ),
    case(
        "jobs of one thing, where Connect lacks the service",
        "device client's jobs page",
        policy(
            allow("iot:Connect", "arn:aws:<region>:<accountId>:client/scale1"),
            allow("iot:Publish", "arn:aws:iot:<region>:<accountId>:topic/$aws/things/scale1/jobs/*"),
            allow("iot:Subscribe", "arn:aws:iot:<region>:<accountId>:topicfilter/$aws/things/scale1/jobs/*"),
            allow("iot:Receive", "arn:aws:iot:<region>:<accountId>:topic/$aws/things/scale1/jobs/*"),
        ),
        "R01",
        "S08",
        "A06",
    ),
    case(
        "an over-the-air update demo",
        "FreeRTOS OTA prerequisites",
        as_thing(
            allow(["iot:Publish", "iot:Receive"], *(f"{ARN}:topic/$aws/things/{THING}/{end}" for end in ("streams/*", "jobs/*"))),
            allow("iot:Subscribe", *(f"{ARN}:topicfilter/$aws/things/{THING}/{end}" for end in ("streams/*", "jobs/*"))),
        ),
    ),
    case(
        "an over-the-air update demo that takes everything",
        "FreeRTOS OTA demo, its first form",
        policy(
            allow("iot:Connect", "arn:aws:iot:*:*:*"),
            allow("iot:Subscribe", "arn:aws:iot:*:*:topicfilter/$aws/things/*"),
            allow(["iot:Publish", "iot:Receive"], "arn:aws:iot:*:*:topic/$aws/things/*"),
        ),
        "B01",
        "B02",
        "R04",
    ),
    case(
        "things of two shadows over HTTPS, with a slash too many",
        "audit-chk-iot-policy-permissive of 2023",
        policy(allow(["iot:GetThingShadow", "iot:UpdateThingShadow"], f"{ARN}:/thing/scale1", f"{ARN}:/thing/scale2")),
        "R01",
    ),
    case(
        "hears events, without a resource type",
        "iot-events of 2023",
        policy(allow(["iot:Subscribe", "iot:Receive"], f"{PLACE}:/$aws/events/*")),
        "R01",
    ),
    case(
        "hears events of presence",
        "life-cycle-events",
        policy(
            allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/events/presence/connected/*"),
            allow("iot:Receive", f"{ARN}:topic/$aws/events/presence/connected/*"),
        ),
    ),
    # Provisioning
    case("a claim that connects as anybody", "provision-wo-cert", claim("*"), "B01"),
    case("a claim with a prefix", "provision-wo-cert, narrowed", claim(f"{ARN}:client/claim-*")),
    case("a claim for any template", "a common shortcut", claim(f"{ARN}:client/claim-*", template="*"), "B09"),
    case(
        "a claim that also reports",
        "a common shortcut",
        claim(f"{ARN}:client/claim-*", allow("iot:Publish", f"{ARN}:topic/shop/log")),
        "B09",
    ),
    case(
        "a claim that asks with a request of its own and cannot hear the answer",
        "provision-wo-cert, the trap",
        policy(
            allow("iot:Connect", f"{ARN}:client/claim-*"),
            allow("iot:Publish", f"{ARN}:topic/$aws/certificates/create-from-csr/*", f"{ARN}:topic/$aws/certificates/create/*"),
            allow(["iot:Receive"], f"{ARN}:topic/$aws/certificates/*"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/certificates/create/*"),
        ),
        "R08",
    ),
    case(
        "a claim with a misspelt topic",
        "provision-wo-cert, misspelt",
        policy(
            allow("iot:Connect", f"{ARN}:client/claim-*"),
            allow("iot:Publish", f"{ARN}:topic/$aws/provisioning-template/scales/provision/json"),
        ),
        "R08",
    ),
    case(
        "a device's first policy, of a template",
        "provisioning template example",
        policy(allow("iot:Publish", f"{ARN}:topic/shop/prices")),
    ),
    # Greengrass
    case("a core device", "Greengrass V2, minimal policy", core("hall-core*")),
    case("a core device, its name written out", "Greengrass V2, minimal policy", core("hall-core", connect="client/hall-core*")),
    case(
        "a core device for client devices",
        "Greengrass V2, client device support",
        policy(
            allow(["greengrass:PutCertificateAuthorities", "greengrass:VerifyClientDeviceIdentity"], "*"),
            allow("greengrass:VerifyClientDeviceIoTCertificateAssociation", f"{PLACE}:thing/*"),
            allow(
                ["greengrass:GetConnectivityInfo", "greengrass:UpdateConnectivityInfo"],
                "arn:aws:greengrass:region:account-id:/greengrass/things/hall-core*/connectivityInfo",
            ),
            allow(["iot:GetThingShadow", "iot:UpdateThingShadow"], f"{PLACE}:thing/shelf-*"),
        ),
    ),
    case(
        "a core device for any client device's shadow",
        "Greengrass V2, client device support",
        policy(
            allow("greengrass:PutCertificateAuthorities", "*"),
            allow(["iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow"], f"{PLACE}:thing/*"),
        ),
        "B03",
    ),
    case(
        "a client device for every topic",
        "Greengrass V2, client device",
        policy(
            allow("iot:Connect", "*"),
            allow("iot:Publish", f"{PLACE}:topic/*"),
            allow("iot:Subscribe", f"{PLACE}:topicfilter/*"),
            allow("iot:Receive", f"{PLACE}:topic/*"),
            allow("greengrass:Discover", f"{PLACE}:thing/*"),
        ),
        "B01",
        "B02",
        "B04",
        "M06",
    ),
    case(
        "a client device for its own topics",
        "Greengrass V2, client device, narrowed",
        policy(
            CONNECT,
            allow(["iot:Publish", "iot:Receive"], f"{ARN}:topic/shop/{THING}/*"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/{THING}/*"),
            allow("greengrass:Discover", f"{ARN}:thing/shelf-7"),
        ),
    ),
    case(
        "the installer's policy for a core",
        "Greengrass V2, quick installer",
        policy(
            allow(["iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive", "greengrass:*"], "*"),
        ),
        "B01",
        "B02",
        "B04",
        "M06",
    ),
    case(
        "a core of the first generation",
        "Greengrass V1, minimal policy",
        policy(
            allow("iot:Connect", f"{PLACE}:client/hall-core-*"),
            allow(["iot:Publish", "iot:Receive"], f"{PLACE}:topic/$aws/things/hall-core-*"),
            allow("iot:Subscribe", f"{PLACE}:topicfilter/$aws/things/hall-core-*"),
            allow(["iot:GetThingShadow", "iot:UpdateThingShadow"], f"{PLACE}:thing/hall-core-*"),
            allow(["greengrass:AssumeRoleForGroup", "greengrass:CreateCertificate"], "*"),
            allow(
                ["greengrass:GetDeployment", "greengrass:GetDeploymentArtifacts"],
                "arn:aws:greengrass:region:account-id:/greengrass/groups/hall/deployments/*",
            ),
            allow(["greengrass:GetConnectivityInfo", "greengrass:UpdateConnectivityInfo"], f"{PLACE}:thing/hall-core"),
        ),
    ),
    # Role aliases, rules, other services
    case(
        "takes a role's credentials",
        "authorizing-direct-aws",
        policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/shop-video")),
    ),
    case(
        "takes a role's credentials while its thing is attached",
        "authorizing-direct-aws, with a condition",
        policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/shop-video", Bool=ATTACHED)),
    ),
    case(
        "takes any role's credentials",
        "a common shortcut",
        policy(allow("iot:AssumeRoleWithCertificate", "arn:aws:iot:eu-central-1:111122223333:rolealias/*")),
        "B08",
    ),
    case(
        "sends straight to a rule",
        "iot-basic-ingest",
        policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/$aws/rules/shop_weights/{THING}/*")),
    ),
    case(
        "sends to any rule",
        "iot-basic-ingest, too wide",
        policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/$aws/rules/*")),
        "B07",
    ),
    case(
        "vehicles of a fleet",
        "FleetWise edge agent",
        policy(
            CONNECT,
            allow("iot:Publish", f"{ARN}:topic/$aws/iotfleetwise/vehicles/{THING}/checkins"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/iotfleetwise/vehicles/{THING}/collection_schemes"),
            allow("iot:Receive", f"{ARN}:topic/$aws/iotfleetwise/vehicles/{THING}/collection_schemes"),
        ),
    ),
    case(
        "commands to a thing",
        "remote commands",
        policy(
            CONNECT,
            allow("iot:Publish", f"{ARN}:topic/$aws/commands/things/{THING}/executions/*/response/json"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/commands/things/{THING}/executions/+/request/json"),
            allow("iot:Receive", f"{ARN}:topic/$aws/commands/things/{THING}/executions/*"),
        ),
    ),
    case(
        "a worker in a shared subscription",
        "mqtt, shared subscriptions",
        policy(
            allow("iot:Connect", f"{ARN}:client/worker-1"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/$share/workers/shop/weights/#"),
            allow("iot:Receive", f"{ARN}:topic/shop/weights/*"),
        ),
    ),
    # Defects seen in public repositories [policy-semantics, 4]
    case("everything", "a first try", policy(allow("iot:*", "*")), "A04", "B01", "B02", "B03", "B04", "B08", "M06"),
    case(
        "the four actions on everything",
        "a first try",
        policy(allow(["iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"], "*")),
        "B01",
        "B02",
        "B04",
        "M06",
    ),
    case(
        "a condition inside of Resource",
        "a kickstart's template",
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "iot:Connect",
                    "Resource": {"Fn::Sub": f"{ARN}:client/*", "Condition": {"Bool": ATTACHED}},
                }
            ],
        },
        "S04",
    ),
    case(
        "a role's variable, and a wildcard right behind it",
        "a gist",
        policy(
            CONNECT,
            allow("iot:Publish", f"{ARN}:topic/shop/${{credentials-iot:ThingName}}"),
            allow("iot:Publish", f"{ARN}:topic/log/{THING}*"),
        ),
        "V10",
        "V06",
    ),
    case(
        "topics and filters mixed up",
        "a gist that does not work",
        as_thing(allow("iot:Publish", f"{ARN}:topicfilter/shop/{THING}"), allow(["iot:Subscribe"], f"{ARN}:topic/shop/{THING}")),
        "R02",
    ),
    case(
        "a Jinja template that nobody rendered",
        "a repository's policy folder",
        policy(
            allow("iot:Connect", "arn:aws:iot:{{ region }}:{{ account }}:client/" + THING),
            allow("iot:Publish", "arn:aws:iot:{{ region }}:{{ account }}:topic/shop/" + THING),
        ),
        "S08",
    ),
    case(
        "a CloudFormation Sub by itself",
        "a repository's policy folder",
        policy(
            allow("iot:Connect", "arn:aws:iot:${AWS::Region}:${AWS::AccountId}:client/" + THING),
            allow("iot:Publish", "arn:aws:iot:${AWS::Region}:${AWS::AccountId}:topic/shop/" + THING),
        ),
        "S08",
    ),
    case(
        "Terraform's escapes, taken along",
        "a repository's policy folder",
        policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/shop/${THING}")),
        "S08",
    ),
    case(
        "a role's policy in the wrong place",
        "an IAM sample",
        policy(allow(["s3:PutObject"], "arn:aws:s3:::shop-logs/*"), CONNECT),
        "A03",
    ),
    case(
        "a device that manages things",
        "a sample that P-Verifier calls a flaw",
        policy(CONNECT, allow(["iot:CreateThing", "iot:AttachThingPrincipal"], "*")),
        "A02",
    ),
    case(
        "Publish with the wildcards of MQTT", "a tutorial", as_thing(allow("iot:Publish", f"{ARN}:topic/shop/{THING}/#")), "M03"
    ),
    case(
        "an account of twelve digits less one",
        "a tutorial",
        policy(CONNECT, allow("iot:Publish", "arn:aws:iot:eu-central-1:11112222333:topic/shop/prices")),
        "R01",
    ),
    case(
        "a back end that listens to all scales",
        "an application's policy",
        policy(
            allow("iot:Connect", f"{ARN}:client/ledger"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/shop/+/weight"),
            allow("iot:Receive", f"{ARN}:topic/shop/*/weight"),
        ),
    ),
    case(
        "Sparkplug with the node's name at the end",
        "a Sparkplug gateway",
        policy(
            CONNECT, allow(["iot:Publish"], f"{ARN}:topic/spBv1.0/shop/*/{THING}", f"{ARN}:topic/spBv1.0/shop/*/{THING}/scale")
        ),
    ),
    case(
        "China's partition",
        "a repository",
        policy(
            allow("iot:Connect", "arn:aws-cn:iot:cn-north-1:111122223333:client/scale1"),
            allow("iot:Publish", "arn:aws-cn:iot:cn-north-1:111122223333:topic/shop/scale1"),
        ),
    ),
    case(
        "any account of China's partition",
        "a repository",
        policy(allow("iot:Publish", "arn:aws-cn:iot:cn-north-1:*:topic/shop/scale1")),
        "R04",
    ),
    # Seen in public repositories, and found there by reading them one by one
    case(
        "a core device with the thing's variable, which needs a suffix to its client id",
        "Greengrass V2, switching connectivity",
        policy(
            allow("iot:Connect", f"{ARN}:client/{THING}*"),
            allow(["iot:Publish", "iot:Receive"], f"{ARN}:topic/$aws/things/{THING}/jobs/*"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/things/{THING}/jobs/*"),
            allow(["greengrass:ResolveComponentCandidates", "greengrass:GetDeploymentConfiguration"], "*"),
        ),
    ),
    case(
        "a gateway's command branch with MQTT wildcards at its end",
        "an edge agent's policy",
        as_thing(
            allow("iot:Publish", f"{ARN}:topic/edge/{THING}/*", f"{ARN}:topic/$aws/things/{THING}/shadow/*"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/edge/{THING}/cmd/#", f"{ARN}:topicfilter/$aws/things/{THING}/shadow/#"),
            allow(
                "iot:Receive",
                f"{ARN}:topic/edge/{THING}/cmd",
                f"{ARN}:topic/edge/{THING}/cmd/*",
                f"{ARN}:topic/$aws/things/{THING}/shadow/*",
            ),
        ),
    ),
    case(
        "a vehicle's number behind a wildcard",
        "a vehicle gateway's policy",
        as_thing(allow("iot:Publish", f"{ARN}:topic/fleet/v1/*/VIN-{THING}/*")),
        "B06",
        "V06",
    ),
    case(
        "a client id that is never the thing's name",
        "a smart farm's policy",
        policy(
            allow("iot:Connect", f"{ARN}:client/farm-{THING}"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/farm/{THING}/command"),
            allow("iot:Receive", f"{ARN}:topic/farm/{THING}/command"),
        ),
        "V08",
    ),
    case(
        "the shadows of every thing with a prefix",
        "a fleet that shares one policy",
        policy(
            allow("iot:Connect", f"{ARN}:client/scale-*"),
            allow("iot:Publish", f"{ARN}:topic/$aws/things/scale-*/shadow/update"),
        ),
        "B06",
        "B10",
    ),
    case(
        "placeholders for everything, the partition too",
        "FreeRTOS OTA over MQTT",
        policy(
            allow("iot:Connect", f"arn:partition:iot:region:account:client/{THING}"),
            allow("iot:Subscribe", f"arn:partition:iot:region:account:topicfilter/$aws/things/{THING}/streams/*"),
            allow(["iot:Publish", "iot:Receive"], f"arn:partition:iot:region:account:topic/$aws/things/{THING}/streams/*"),
        ),
    ),
    case(
        "a provisioning sample that subscribes to topics",
        "a device SDK's sample",
        policy(
            allow("iot:Publish", "arn:aws:iot:<b>region</b>:<b>account</b>:topic/$aws/certificates/create/json"),
            allow(
                ["iot:Receive", "iot:Subscribe"],
                "arn:aws:iot:<b>region</b>:<b>account</b>:topic/$aws/certificates/create/json/accepted",
            ),
            allow("iot:Connect", "arn:aws:iot:<b>region</b>:<b>account</b>:client/test-*"),
        ),
        "S08",
        "R02",
    ),
    case(
        "a crossed-out account",
        "a provisioning sample's birth policy",
        policy(
            allow("iot:Connect", "arn:aws:iot:us-east-1:XXXXXXXXXXXX:client/birth"),
            allow(["iot:Publish", "iot:Receive"], "arn:aws:iot:us-east-1:XXXXXXXXXXXX:topic/$aws/certificates/create/*"),
            allow("iot:Subscribe", "arn:aws:iot:us-east-1:XXXXXXXXXXXX:topicfilter/$aws/certificates/create/*"),
        ),
    ),
    case(
        "attached clients below their client id, in any account",
        "an asset tracker's policy",
        policy(
            allow("iot:Connect", f"arn:aws:iot:*:*:client/{CLIENT}", Bool={"iot:Connection.Thing.IsAttached": [True]}),
            allow("iot:Receive", "*"),
            allow("iot:Subscribe", f"arn:aws:iot:*:*:topicfilter/$aws/things/{CLIENT}/*"),
            allow("iot:Publish", f"arn:aws:iot:*:*:topic/$aws/things/{CLIENT}/*", f"arn:aws:iot:*:*:topic/{CLIENT}/*"),
        ),
        "R04",
    ),
    case(
        "a condition that compares the client id with itself",
        "a chat's policy",
        policy(
            allow("iot:Connect", "*", StringEquals={"iot:ClientId": CLIENT}), allow("iot:Publish", f"{ARN}:topic/{CLIENT}/data")
        ),
        "B01",
        "V03",
    ),
    case(
        "a condition that ties the client id to the certificate",
        "a policy for certificates of one's own CA",
        policy(
            allow("iot:Connect", f"{ARN}:client/*", StringEquals={"iot:ClientId": COMMON_NAME}),
            allow("iot:Publish", f"{ARN}:topic/{CLIENT}/data"),
        ),
    ),
    case(
        "whoever is not attached is denied",
        "a guard rail",
        policy(
            allow("iot:Connect", f"{ARN}:client/*"),
            deny("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": "false"}),
            allow("iot:Publish", f"{ARN}:topic/shop/{CLIENT}"),
        ),
    ),
    case(
        "one device, three places, all the same",
        "a beacon gateway's manual",
        policy(
            allow(["iot:Publish", "iot:Receive", "iot:RetainPublish"], f"{ARN}:topic/GW/data/E8DB84"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/GW/data/E8DB84"),
            allow("iot:Connect", f"{ARN}:client/E8DB84"),
        ),
    ),
    case(
        "a wildcard for the resource of each action",
        "a microcontroller tutorial",
        policy(*(allow(f"iot:{name}", f"{ARN}:*") for name in ("Connect", "Publish", "Subscribe", "Receive"))),
        "B01",
        "B02",
        "B04",
        "M06",
    ),
    case(
        "four actions on topics alone",
        "a robot's Terraform",
        policy(allow(["iot:Connect", "iot:Subscribe", "iot:Publish", "iot:Receive"], f"{ARN}:topic/*")),
        "A06",
        "B02",
        "B04",
        "R02",
    ),
    case(
        "three actions on one topic with a hash",
        "a smart home's Terraform",
        policy(
            allow("iot:Connect", f"{ARN}:client/hub-*"),
            allow(["iot:Publish", "iot:Subscribe", "iot:Receive"], f"{ARN}:topic/home/#"),
        ),
        "B10",
        "M03",
        "R02",
    ),
    case(
        "receives on a filter",
        "a sensor's Terraform",
        policy(
            allow("iot:Connect", f"{ARN}:client/scale1"),
            allow("iot:Publish", f"{ARN}:topic/shop/scale1"),
            allow("iot:Receive", f"{ARN}:topicfilter/shop/scale1"),
        ),
        "R02",
    ),
    case(
        "all four in one statement, each with its own resource",
        "a cluster agent's policy",
        policy(
            allow(
                ["iot:Connect", "iot:Subscribe", "iot:Receive", "iot:Publish"],
                f"{ARN}:client/agent-*",
                f"{ARN}:topic/cluster/7/*",
                f"{ARN}:topicfilter/cluster/7/*",
            )
        ),
        "B10",
    ),
    case(
        "a viewer of many rooms",
        "a custom authorizer's answer",
        policy(
            allow("iot:Connect", f"{ARN}:client/viewer-4711"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/house/1/room/*/event"),
            allow("iot:Receive", f"{ARN}:topic/house/1/room/*/event"),
        ),
    ),
    case(
        "a sample with shared subscriptions of any group",
        "a device SDK's sample",
        policy(
            allow("iot:Connect", f"{ARN}:client/test-*"),
            allow(["iot:Publish", "iot:Receive"], f"{ARN}:topic/test/topic"),
            allow("iot:Subscribe", f"{ARN}:topicfilter/test/topic", f"{ARN}:topicfilter/$share/*/test/topic"),
        ),
        "B10",
    ),
    case(
        "a Deny of another department's topics",
        "a roadside unit's Terraform",
        policy(
            allow("iot:Connect", f"{ARN}:client/car-7"),
            allow("iot:Publish", f"{ARN}:topic/vehicle/telemetry"),
            deny("iot:Publish", f"{ARN}:topic/roadside/*"),
        ),
    ),
    case(
        "only at certain places",
        "a recipe for conditions",
        policy(
            allow(
                "iot:Connect",
                f"{ARN}:client/{THING}",
                Bool=ATTACHED,
                StringEquals={"iot:Connection.Thing.Attributes[place]": ["factory-1", "factory-2"]},
            ),
            allow(
                "iot:Publish",
                f"{ARN}:topic/sensors/{THING}/*",
                StringLike={"iot:Connection.Thing.Attributes[place]": "factory-*"},
            ),
        ),
    ),
    case(
        "only in working hours",
        "a recipe for conditions",
        policy(
            CONNECT,
            allow("iot:Publish", f"{ARN}:topic/shop/{THING}", DateGreaterThan={"aws:CurrentTime": "2026-01-01T08:00:00Z"}),
        ),
    ),
)
