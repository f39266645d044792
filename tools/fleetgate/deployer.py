"""What the deployer of an environment may do: the IAM policies under which plan, apply, smoke and destroy run, and no wider.

Pure: names, account and Region in, documents out. An ARN or a prefix stands wherever IAM takes one for the action [Service
Authorization Reference], `*` only where it takes none, and then held to the Region. Each function below is one subject; whoever
adds an AWS resource to a module adds its actions there, and `tests/e2e/test_deployer.py` fails until that is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from fleetgate import remote_state
from fleetgate.environment import STACK_TAG, Environment
from fleetgate.errors import fail
from fleetgate.names import Names

Statement = dict[str, Any]
Document = dict[str, Any]

#: Characters without whitespace [IAM quotas]; a role holds ten managed policies.
MAXIMUM_SIZE = 6144
MAXIMUM_POLICIES = 10
VERSION = "2012-10-17"
_READS = ("Describe", "Get", "List")
GITHUB = "token.actions.githubusercontent.com"


def policies(environment: Environment, names: Names, *, plan_only: bool = False) -> dict[str, Document]:
    """Managed policies by name, as few as hold all statements. Raises FleetgateError if one role cannot hold them.

    plan_only: for a role that plans what others have written, such as pull requests, and can change nothing.
    """
    parts: list[list[Statement]] = []
    for statement in statements(environment, names, plan_only=plan_only):
        for part in parts:
            if _size([*part, statement]) <= MAXIMUM_SIZE:
                part.append(statement)
                break
        else:
            parts.append([statement])
    if len(parts) > MAXIMUM_POLICIES or any(_size(part) > MAXIMUM_SIZE for part in parts):
        remedy = "set namespace in it: then things, thing types and groups are named by their prefix, not one by one"
        raise fail(environment.file, "the deployer's policy is longer than IAM takes", remedy)
    numbers = [f"-{number}" if len(parts) > 1 else "" for number in range(1, len(parts) + 1)]
    return {
        f"{names.prefix}-{'planner' if plan_only else 'deployer'}{number}": {"Version": VERSION, "Statement": part}
        for number, part in zip(numbers, parts, strict=True)
    }


def trust(environment: Environment, repository: str, subjects: Sequence[str] = (), *, plan_only: bool = False) -> Document:
    """Lets GitHub Actions of one repository take the role by OIDC.

    subjects: default its deployments to this environment; of the role that plans only, pull requests and the branch main.
    Without a condition on `sub` any repository on GitHub could [GitHub: security hardening with OpenID Connect].
    """
    wanted = list(subjects) or [f"repo:{repository}:{what}" for what in _subjects(environment, plan_only=plan_only)]
    provider = f"arn:{environment.partition}:iam::{environment.settings.account_id}:oidc-provider/{GITHUB}"
    statement = {
        "Sid": "GitHubActions",
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": provider},
        "Condition": {"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": wanted}},
    }
    return {"Version": VERSION, "Statement": [statement]}


def _subjects(environment: Environment, *, plan_only: bool) -> list[str]:
    return ["pull_request", "ref:refs/heads/main"] if plan_only else [f"environment:{environment.name}"]


def to_text(document: Document) -> str:
    return json.dumps(document, indent=2) + "\n"


def statements(environment: Environment, names: Names, *, plan_only: bool = False) -> list[Statement]:
    """All statements, each with a Sid of its own."""
    arns = _Arns(environment, names)
    subjects = (
        _state,
        _key,
        _roles,
        _functions,
        _logs,
        _tables,
        _messages,
        _schedules,
        _monitoring,
        _registry,
        _devices,
        _account,
        _trail,
        _audits,
    )
    found = [statement for subject in subjects for statement in subject(arns)]
    return [reading for statement in found if (reading := _reading(statement))["Action"]] if plan_only else found


def _reading(statement: Statement) -> Statement:
    """The part of a statement that a plan needs: it reads all but the devices' rows, and writes nothing, the lock included.

    Code that nobody has reviewed runs under it. With the lock it could take a running apply's away, or leave one for ever.
    """
    actions = [action for action in statement["Action"] if action.partition(":")[2].startswith((*_READS, "Decrypt"))]
    return {**statement, "Action": [] if statement["Sid"] == "RegistryRows" else actions}


class _Arns:
    """ARNs of one environment. Modules name what they make `<prefix>-<thing>`, so the prefix is what there is to derive from."""

    def __init__(self, environment: Environment, names: Names) -> None:
        self.environment = environment
        self.settings = environment.settings
        self.names = names
        self.prefix = names.prefix

    def arn(self, service: str, resource: str, *, region: bool = True) -> str:
        return f"arn:{self.environment.partition}:{service}:{self.settings.region * region}:{self.settings.account_id}:{resource}"

    def iot(self, kind: str, *resources: str) -> list[str]:
        return [self.arn("iot", f"{kind}/{resource}") for resource in resources]

    def named(self, service: str, resource: str) -> list[str]:
        """What begins with the stack's prefix. resource: all of it before the prefix, such as `table/`."""
        return [self.arn(service, f"{resource}{self.prefix}-*")]

    @property
    def here(self) -> dict[str, Any]:
        """For actions that take no resource: at least no other Region."""
        return {"StringEquals": {"aws:RequestedRegion": self.settings.region}}

    @property
    def aliases(self) -> list[str]:
        """Of the stack's KMS keys."""
        return [f"alias/{self.prefix}", *[f"alias/{self.prefix}/calls"] * self.settings.manage_cloudtrail]


def _allow(sid: str, actions: str, resources: Sequence[str], condition: dict[str, Any] | None = None) -> Statement:
    """actions: `service: Action Action …`, sorted here."""
    service, _, words = actions.partition(": ")
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(f"{service}:{word}" for word in words.split()),
        "Resource": list(resources),
    }
    return {**statement, "Condition": condition} if condition else statement


def _state(arns: _Arns) -> Iterator[Statement]:
    state = arns.settings.state
    if state is None:
        return
    bucket = f"arn:{arns.environment.partition}:s3:::{state.bucket}"
    key = remote_state.key(arns.environment, state)
    yield _allow("StateBucket", "s3: ListBucket", [bucket])
    yield _allow("State", "s3: GetObject PutObject", [f"{bucket}/{key}"])
    yield _allow("StateLock", "s3: DeleteObject GetObject PutObject", [f"{bucket}/{key}.tflock"])
    if state.kms_key_arn:
        service = f"s3.{remote_state.region(arns.environment, state)}.amazonaws.com"
        via = {"StringEquals": {"kms:ViaService": service}}
        yield _allow("StateKey", "kms: Decrypt GenerateDataKey", [state.kms_key_arn], via)


def _key(arns: _Arns) -> Iterator[Statement]:
    """KMS keys, whose ARNs are random: they are told by the stack's tag, and by having no alias but the stack's own.

    A new key has no alias before its Terraform resource is done, nor an old one when it is its turn to be destroyed, so no
    alias at all is right, too: that is what ForAllValues says [IAM: multivalued context keys].
    """
    keys = [arns.arn("kms", "key/*")]
    requested = {f"aws:RequestTag/{STACK_TAG}": arns.prefix}
    ours = {f"aws:ResourceTag/{STACK_TAG}": arns.prefix}
    nobody_elses = {"ForAllValues:StringEquals": {"kms:ResourceAliases": arns.aliases}}
    yield _allow("CreateTheKey", "kms: CreateKey", ["*"], {"StringEquals": {**requested, **arns.here["StringEquals"]}})
    # AWS asks for this on all keys from whoever creates one with tags [KMS: controlling access to tags]. So a key without
    # the tag has to pass, since a new one has none: what can be kept out is another stack's, one with an alias, and every
    # kind of key that is not of the stack's kind.
    kind = {"kms:KeyOrigin": "AWS_KMS", "kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:KeyUsage": "ENCRYPT_DECRYPT"}
    narrow = {"StringEquals": requested, "StringEqualsIfExists": {**ours, **kind}, **nobody_elses}
    yield _allow("TagTheKey", "kms: TagResource", keys, narrow)
    managed = (
        "kms: CreateAlias DeleteAlias DescribeKey EnableKeyRotation GetKeyPolicy GetKeyRotationStatus ListResourceTags "
        "PutKeyPolicy ScheduleKeyDeletion UntagResource UpdateAlias UpdateKeyDescription"
    )
    yield _allow("TheKey", managed, keys, {"StringEquals": ours, **nobody_elses})
    # A key from before there was the tag has the stack's alias alone. Whoever may not look at it cannot plan to tag it.
    by_alias = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": arns.aliases}}
    yield _allow("LookAtTheKey", "kms: DescribeKey GetKeyPolicy GetKeyRotationStatus ListResourceTags", keys, by_alias)
    yield _allow("ItsAlias", "kms: CreateAlias DeleteAlias UpdateAlias", [arns.arn("kms", alias) for alias in arns.aliases])
    # The provider looks up the key by which DynamoDB encrypts, AWS's own, which has no tag of ours.
    aliases = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/aws/dynamodb"]}}
    yield _allow("DynamoDbsKey", "kms: DescribeKey", keys, aliases)
    yield _allow("FindItsAlias", "kms: ListAliases", ["*"], arns.here)


def _roles(arns: _Arns) -> Iterator[Statement]:
    roles = [arns.arn("iam", f"role/{arns.prefix}-*", region=False)]
    yield _allow(
        "Roles",
        "iam: CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole "
        "ListRolePolicies PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRoleDescription",
        roles,
    )
    services = [f"{name}.amazonaws.com" for name in ("iot", "lambda", "scheduler")]
    yield _allow("GiveRolesToServices", "iam: PassRole", roles, {"StringEquals": {"iam:PassedToService": services}})


def _functions(arns: _Arns) -> Iterator[Statement]:
    yield _allow(
        "Functions",
        "lambda: AddPermission CreateFunction DeleteFunction DeleteFunctionEventInvokeConfig GetFunction "
        "GetFunctionCodeSigningConfig GetFunctionConfiguration GetFunctionEventInvokeConfig GetPolicy "
        "ListVersionsByFunction PutFunctionEventInvokeConfig RemovePermission TagResource UntagResource UpdateFunctionCode "
        "UpdateFunctionConfiguration",
        arns.named("lambda", "function:"),
    )
    # The smoke checks ask it. No other: what is sent to the audit function gets into the trail as a decision of the hook's.
    yield _allow("AskTheHook", "lambda: InvokeFunction", [arns.arn("lambda", f"function:{arns.names.hook}")])


def _logs(arns: _Arns) -> Iterator[Statement]:
    groups = [arns.arn("logs", f"log-group:{name}") for name in (f"/aws/lambda/{arns.prefix}-*", f"/fleetgate/{arns.prefix}/*")]
    if arns.settings.iot_log_level:
        groups += [arns.arn("logs", "log-group:AWSIotLogsV2"), arns.arn("logs", "log-group:AWSIotLogsV2:*")]
    yield _allow(
        "Logs",
        "logs: AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteSubscriptionFilter DescribeSubscriptionFilters "
        "DisassociateKmsKey FilterLogEvents ListTagsForResource PutRetentionPolicy PutSubscriptionFilter TagResource "
        "UntagResource",
        groups,
    )
    yield _allow("FindLogs", "logs: DescribeLogGroups", ["*"], arns.here)


def _tables(arns: _Arns) -> Iterator[Statement]:
    actions = (
        "dynamodb: CreateTable DescribeContinuousBackups DescribeTable DescribeTimeToLive GetResourcePolicy ListTagsOfResource "
        "PutResourcePolicy TagResource UntagResource UpdateContinuousBackups UpdateTable"
    )
    if not arns.settings.deletion_protection:  # else no apply has a reason to, and AWS's own switch is not the only guard
        actions += " DeleteResourcePolicy DeleteTable"
    yield _allow("Tables", actions, arns.named("dynamodb", "table/"))
    table = arns.arn("dynamodb", f"table/{arns.names.table}")
    yield _allow("RegistryRows", "dynamodb: DeleteItem GetItem PutItem Scan UpdateItem", [table])
    # What a deployer does by fleetgate's commands (registry add, drain, state unlock) is an entry of the audit trail.
    yield _allow("AuditEntries", "dynamodb: PutItem", [arns.arn("dynamodb", f"table/{arns.names.audit_table}")])


def _messages(arns: _Arns) -> Iterator[Statement]:
    yield _allow(
        "Queues",
        "sqs: CreateQueue DeleteQueue GetQueueAttributes ListQueueTags SetQueueAttributes TagQueue UntagQueue",
        arns.named("sqs", ""),
    )
    yield _allow(
        "Topics",
        "sns: CreateTopic DeleteTopic GetTopicAttributes ListTagsForResource SetTopicAttributes "
        "Subscribe TagResource UntagResource",
        arns.named("sns", ""),
    )
    if arns.settings.alarm_emails:
        actions = "sns: GetSubscriptionAttributes Unsubscribe"
        yield _allow("Subscriptions", actions, ["*"], arns.here)


def _schedules(arns: _Arns) -> Iterator[Statement]:
    actions = "scheduler: CreateSchedule DeleteSchedule GetSchedule UpdateSchedule"
    yield _allow("Schedules", actions, arns.named("scheduler", "schedule/default/"))


def _monitoring(arns: _Arns) -> Iterator[Statement]:
    dashboards = [arns.arn("cloudwatch", f"dashboard/{arns.prefix}", region=False)]
    yield _allow("Dashboard", "cloudwatch: DeleteDashboards GetDashboard PutDashboard", dashboards)
    if arns.settings.manage_alarms:
        actions = "cloudwatch: DeleteAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"
        yield _allow("Alarms", actions, arns.named("cloudwatch", "alarm:"))
        yield _allow("FindAlarms", "cloudwatch: DescribeAlarms", [arns.arn("cloudwatch", "alarm:*")])


def _registry(arns: _Arns) -> Iterator[Statement]:
    """What AWS IoT keeps of the stack itself: policies, template, thing types, groups, rules."""
    names, space = arns.names, arns.environment.namespace
    tags = "ListTagsForResource TagResource UntagResource"
    yield _allow(
        "IotPolicies",
        "iot: CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy ListPolicyVersions "
        f"ListTargetsForPolicy {tags}",
        arns.iot("policy", f"{arns.prefix}-*"),
    )
    yield _allow(
        "ProvisioningTemplate",
        "iot: CreateProvisioningTemplate CreateProvisioningTemplateVersion DeleteProvisioningTemplate "
        "DeleteProvisioningTemplateVersion DescribeProvisioningTemplate ListProvisioningTemplateVersions "
        f"UpdateProvisioningTemplate {tags}",
        arns.iot("provisioningtemplate", names.template),
    )
    # Without a namespace nothing but their full names tells ours from another stack's.
    types = [f"{space}*"] if space else [t.thing_type for t in names.types.values()]
    groups = [f"{space}*"] if space else [names.parent_group, *(t.group for t in names.types.values())]
    yield _allow(
        "ThingTypes",
        f"iot: CreateThingType DeleteThingType DeprecateThingType DescribeThingType {tags}",
        arns.iot("thingtype", *types),
    )
    yield _allow(
        "ThingGroups",
        f"iot: CreateThingGroup DeleteThingGroup DescribeThingGroup UpdateThingGroup {tags}",
        arns.iot("thinggroup", *groups),
    )
    rules = arns.iot("rule", f"{arns.prefix.replace('-', '_')}_*")  # whose names take no hyphen
    yield _allow("Rules", f"iot: CreateTopicRule DeleteTopicRule GetTopicRule ReplaceTopicRule {tags}", rules)


def _devices(arns: _Arns) -> Iterator[Statement]:
    """Claims, the smoke checks' canaries, and all devices when an environment or a type of them is taken away."""
    things = [f"{t.thing_prefix}*" for t in arns.names.types.values()]
    space = arns.environment.namespace
    yield _allow(
        "Things",
        "iot: DeleteThing DeleteThingShadow DescribeThing ListNamedShadowsForThing ListThingGroupsForThing",
        arns.iot("thing", *([f"{space}*"] if space else things)),
    )
    # A certificate's id is random, and it carries no tag.
    yield _allow(
        "Certificates",
        "iot: AttachPolicy DeleteCertificate DescribeCertificate DetachPolicy UpdateCertificate",
        arns.iot("cert", "*"),
    )


def _account(arns: _Arns) -> Iterator[Statement]:
    """For what AWS IoT checks against no resource at all."""
    actions = (
        "iot: CreateCertificateFromCsr DescribeEndpoint DetachThingPrincipal ListAttachedPolicies ListPrincipalThings "
        "ListThingPrincipals ListThings ListTopicRules"
    )
    if arns.settings.manage_event_configurations:
        actions += " DescribeEventConfigurations UpdateEventConfigurations"
    if arns.settings.iot_log_level:
        actions += " GetV2LoggingOptions SetV2LoggingOptions"
    yield _allow("IotWithoutResource", actions, ["*"], arns.here)


def _trail(arns: _Arns) -> Iterator[Statement]:
    if not arns.settings.manage_cloudtrail:
        return
    actions = (
        "cloudtrail: AddTags CreateTrail DeleteTrail GetEventSelectors GetInsightSelectors GetTrail GetTrailStatus ListTags "
        "RemoveTags StartLogging StopLogging UpdateTrail"
    )
    yield _allow("Trail", actions, arns.named("cloudtrail", "trail/"))
    yield _allow("FindTrails", "cloudtrail: DescribeTrails", ["*"], arns.here)
    settings = arns.settings
    bucket = f"arn:{arns.environment.partition}:s3:::{arns.prefix}-logs-{settings.account_id}-{settings.region}"
    yield _allow(
        "TrailBucket",
        "s3: CreateBucket DeleteBucket DeleteBucketPolicy GetAccelerateConfiguration GetBucketAcl GetBucketCORS GetBucketLogging "
        "GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPublicAccessBlock "
        "GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration "
        "GetLifecycleConfiguration GetReplicationConfiguration ListBucket ListBucketVersions PutBucketOwnershipControls "
        "PutBucketPolicy PutBucketPublicAccessBlock PutBucketTagging PutBucketVersioning PutEncryptionConfiguration "
        "PutLifecycleConfiguration",
        [bucket],
    )
    if not settings.deletion_protection:  # only then a destroy empties it
        yield _allow("TrailsFiles", "s3: DeleteObject DeleteObjectVersion", [f"{bucket}/*"])


def _audits(arns: _Arns) -> Iterator[Statement]:
    """CloudFormation makes the audits in the caller's name, so the caller needs what they need."""
    if not arns.settings.manage_device_defender:
        return
    stack = "cloudformation: CreateStack DeleteStack DescribeStackEvents DescribeStacks GetTemplate TagResource UpdateStack"
    yield _allow("AuditsStack", stack, [arns.arn("cloudformation", f"stack/{arns.prefix}-device-defender/*")])
    account = (
        "iot: DeleteAccountAuditConfiguration DescribeAccountAuditConfiguration ListScheduledAudits "
        "UpdateAccountAuditConfiguration"
    )
    yield _allow("AuditOfTheAccount", account, ["*"], arns.here)
    schedule = (
        "iot: CreateScheduledAudit DeleteScheduledAudit DescribeScheduledAudit ListTagsForResource TagResource UntagResource "
        "UpdateScheduledAudit"
    )
    yield _allow("ScheduledAudits", schedule, arns.iot("scheduledaudit", f"{arns.prefix}-*"))


def _size(part: Sequence[Statement]) -> int:
    return len(json.dumps({"Version": VERSION, "Statement": list(part)}, separators=(",", ":")))
