"""The actions of AWS IoT policies, and on what they act. Data as of 2026-11.

[AWS IoT Core: policy actions; action resources; botocore's iot-data and iot-jobs-data models. AWS IoT Greengrass V2 and V1:
device authentication and authorization]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from fleetgate.iot_policy import pattern


@dataclass(frozen=True, slots=True)
class Action:
    """name: as AWS writes it. resources: the resource types it is checked against, empty for `*`. mqtt: asked for over MQTT.

    https: asked for over the HTTPS API. any_resource: what it acts on is not this table's business (Greengrass).
    """

    name: str
    resources: tuple[str, ...]
    mqtt: bool = False
    https: bool = False
    any_resource: bool = False


_SHADOW = ("GetThingShadow", "UpdateThingShadow", "DeleteThingShadow")
_JOBS = ("DescribeJobExecution", "GetPendingJobExecutions", "StartNextPendingJobExecution", "UpdateJobExecution")
# A core device needs these in its IoT policy, a client device needs Discover.
_GREENGRASS_V2 = (
    "GetComponentVersionArtifact",
    "ResolveComponentCandidates",
    "GetDeploymentConfiguration",
    "ListThingGroupsForCoreDevice",
    "VerifyClientDeviceIdentity",
    "VerifyClientDeviceIoTCertificateAssociation",
    "PutCertificateAuthorities",
    "GetConnectivityInfo",
    "UpdateConnectivityInfo",
    "Discover",
)
_GREENGRASS_V1 = (
    "AssumeRoleForGroup",
    "CreateCertificate",
    "GetDeployment",
    "GetDeploymentArtifacts",
    "UpdateCoreDeploymentStatus",
)

ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        action.name.lower(): action
        for action in (
            Action("iot:Connect", ("client",), mqtt=True),
            Action("iot:Publish", ("topic",), mqtt=True, https=True),
            Action("iot:RetainPublish", ("topic",), mqtt=True, https=True),
            Action("iot:Receive", ("topic",), mqtt=True),
            Action("iot:Subscribe", ("topicfilter",), mqtt=True),
            Action("iot:GetRetainedMessage", ("topic",), https=True),
            Action("iot:ListRetainedMessages", (), https=True),
            *(Action(f"iot:{name}", ("thing",), https=True) for name in _SHADOW),
            Action("iot:ListNamedShadowsForThing", (), https=True),
            *(Action(f"iotjobsdata:{name}", ("thing",), https=True) for name in _JOBS),
            *(Action(f"iot:{name}", ("thing",), https=True) for name in _JOBS),
            Action("iot:AssumeRoleWithCertificate", ("rolealias",), https=True),
            Action("iot:DeleteConnection", ("client",), https=True),
            Action("iot:GetConnection", ("client",), https=True),
            Action("iot:ListSubscriptions", ("client",), https=True),
            Action("iot:SendDirectMessage", ("client",), https=True),
            *(Action(f"greengrass:{name}", (), https=True, any_resource=True) for name in (*_GREENGRASS_V2, *_GREENGRASS_V1)),
        )
    }
)

#: The services whose actions an IoT policy can grant.
SERVICES = frozenset(name.partition(":")[0] for name in ACTIONS)
SHADOW_ACTIONS = tuple(f"iot:{name}" for name in _SHADOW)
JOB_ACTIONS = tuple(f"iotjobsdata:{name}" for name in _JOBS)
#: What the documentation of 2023 calls the job actions; which of the two is enforced is not documented.
OLD_JOB_ACTIONS = tuple(f"iot:{name}" for name in _JOBS)
_CONTROL_PLANE = """
AcceptCertificateTransfer AddThingToBillingGroup AddThingToThingGroup AssociateSbomWithPackageVersion
AssociateTargetsWithJob AttachPolicy AttachPrincipalPolicy AttachSecurityProfile AttachThingPrincipal
CancelAuditMitigationActionsTask CancelAuditTask CancelCertificateTransfer CancelDetectMitigationActionsTask CancelJob
CancelJobExecution ClearDefaultAuthorizer CloseTunnel ConfirmTopicRuleDestination CreateAuditSuppression CreateAuthorizer
CreateBillingGroup CreateCertificateFromCsr CreateCertificateProvider CreateCommand CreateCustomMetric CreateDimension
CreateDomainConfiguration CreateDynamicThingGroup CreateFleetMetric CreateJob CreateJobTemplate CreateKeysAndCertificate
CreateMitigationAction CreateOTAUpdate CreatePackage CreatePackageVersion CreatePolicy CreatePolicyVersion
CreateProvisioningClaim CreateProvisioningTemplate CreateProvisioningTemplateVersion CreateRoleAlias CreateScheduledAudit
CreateSecurityProfile CreateStream CreateThing CreateThingGroup CreateThingType CreateTopicRule CreateTopicRuleDestination
DeleteAccountAuditConfiguration DeleteAuditSuppression DeleteAuthorizer DeleteBillingGroup DeleteCACertificate
DeleteCertificate DeleteCertificateProvider DeleteCommand DeleteCommandExecution DeleteCustomMetric DeleteDimension
DeleteDomainConfiguration DeleteDynamicThingGroup DeleteFleetMetric DeleteJob DeleteJobExecution DeleteJobTemplate
DeleteMitigationAction DeleteOTAUpdate DeletePackage DeletePackageVersion DeletePolicy DeletePolicyVersion
DeleteProvisioningTemplate DeleteProvisioningTemplateVersion DeleteRegistrationCode DeleteRoleAlias DeleteScheduledAudit
DeleteSecurityProfile DeleteStream DeleteThing DeleteThingGroup DeleteThingType DeleteTopicRule DeleteTopicRuleDestination
DeleteV2LoggingLevel DeprecateThingType DescribeAccountAuditConfiguration DescribeAuditFinding
DescribeAuditMitigationActionsTask DescribeAuditSuppression DescribeAuditTask DescribeAuthorizer DescribeBillingGroup
DescribeCACertificate DescribeCertificate DescribeCertificateProvider DescribeCustomMetric DescribeDefaultAuthorizer
DescribeDetectMitigationActionsTask DescribeDimension DescribeDomainConfiguration DescribeEncryptionConfiguration
DescribeEndpoint DescribeEventConfigurations DescribeFleetMetric DescribeIndex DescribeJob DescribeJobTemplate
DescribeManagedJobTemplate DescribeMitigationAction DescribeProvisioningTemplate DescribeProvisioningTemplateVersion
DescribeRoleAlias DescribeScheduledAudit DescribeSecurityProfile DescribeStream DescribeThing DescribeThingGroup
DescribeThingRegistrationTask DescribeThingType DescribeTunnel DetachPolicy DetachPrincipalPolicy DetachSecurityProfile
DetachThingPrincipal DisableTopicRule DisassociateSbomFromPackageVersion EnableTopicRule GetBehaviorModelTrainingSummaries
GetBucketsAggregation GetCardinality GetCommand GetCommandExecution GetEffectivePolicies GetIndexingConfiguration
GetJobDocument GetLoggingOptions GetOTAUpdate GetPackage GetPackageConfiguration GetPackageVersion GetPercentiles GetPolicy
GetPolicyVersion GetRegistrationCode GetStatistics GetThingConnectivityData GetTopicRule GetTopicRuleDestination
GetV2LoggingOptions ListActiveViolations ListAttachedPolicies ListAuditFindings ListAuditMitigationActionsExecutions
ListAuditMitigationActionsTasks ListAuditSuppressions ListAuditTasks ListAuthorizers ListBillingGroups ListCACertificates
ListCertificateProviders ListCertificates ListCertificatesByCA ListCommandExecutions ListCommands ListCustomMetrics
ListDetectMitigationActionsExecutions ListDetectMitigationActionsTasks ListDimensions ListDomainConfigurations
ListFleetMetrics ListIndices ListJobExecutionsForJob ListJobExecutionsForThing ListJobTemplates ListJobs
ListManagedJobTemplates ListMetricValues ListMitigationActions ListOTAUpdates ListOutgoingCertificates ListPackageVersions
ListPackages ListPolicies ListPolicyPrincipals ListPolicyVersions ListPrincipalPolicies ListPrincipalThings
ListPrincipalThingsV2 ListProvisioningTemplateVersions ListProvisioningTemplates ListRelatedResourcesForAuditFinding
ListRoleAliases ListSbomValidationResults ListScheduledAudits ListSecurityProfiles ListSecurityProfilesForTarget ListStreams
ListTagsForResource ListTargetsForPolicy ListTargetsForSecurityProfile ListThingGroups ListThingGroupsForThing
ListThingPrincipals ListThingPrincipalsV2 ListThingRegistrationTaskReports ListThingRegistrationTasks ListThingTypes
ListThings ListThingsInBillingGroup ListThingsInThingGroup ListTopicRuleDestinations ListTopicRules ListTunnels
ListV2LoggingLevels ListViolationEvents OpenTunnel PutVerificationStateOnViolation RegisterCACertificate RegisterCertificate
RegisterCertificateWithoutCA RegisterThing RejectCertificateTransfer RemoveThingFromBillingGroup RemoveThingFromThingGroup
ReplaceTopicRule RotateTunnelAccessToken SearchIndex SetDefaultAuthorizer SetDefaultPolicyVersion SetLoggingOptions
SetV2LoggingLevel SetV2LoggingOptions StartAuditMitigationActionsTask StartCommandExecution StartDetectMitigationActionsTask
StartOnDemandAuditTask StartThingRegistrationTask StopThingRegistrationTask TagResource TestAuthorization
TestInvokeAuthorizer TransferCertificate UntagResource UpdateAccountAuditConfiguration UpdateAuditSuppression
UpdateAuthorizer UpdateBillingGroup UpdateCACertificate UpdateCertificate UpdateCertificateProvider UpdateCommand
UpdateCustomMetric UpdateDimension UpdateDomainConfiguration UpdateDynamicThingGroup UpdateEncryptionConfiguration
UpdateEventConfigurations UpdateFleetMetric UpdateIndexingConfiguration UpdateJob UpdateMitigationAction UpdatePackage
UpdatePackageConfiguration UpdatePackageVersion UpdateProvisioningTemplate UpdateRoleAlias UpdateScheduledAudit
UpdateSecurityProfile UpdateStream UpdateThing UpdateThingGroup UpdateThingGroupsForThing UpdateThingType
UpdateTopicRuleDestination ValidateSecurityProfileBehaviors
"""
#: What an IoT policy cannot grant, in small letters [botocore 1.43: iot, iotsecuretunneling].
CONTROL_PLANE = frozenset(f"iot:{name}" for name in _CONTROL_PLANE.lower().split()) - ACTIONS.keys()


@lru_cache(maxsize=4096)
def matching(text: str) -> tuple[Action, ...]:
    """The known actions that an action of a policy stands for; wildcards allowed, case of no importance."""
    exact = ACTIONS.get(text.lower())
    if exact is not None:
        return (exact,)
    if "*" not in text and "?" not in text:
        return ()
    wanted = pattern.parse(text.lower(), variables=False)
    return tuple(action for name, action in ACTIONS.items() if wanted.matches(name))


@lru_cache(maxsize=4096)
def controls(text: str) -> bool:
    """Whether an action of a policy stands for control-plane actions of AWS IoT."""
    lower = text.lower()
    if "*" not in lower and "?" not in lower:
        return lower in CONTROL_PLANE
    wanted = pattern.parse(lower, variables=False)
    return any(wanted.matches(name) for name in CONTROL_PLANE)


@lru_cache(maxsize=1024)
def nearest(text: str) -> str | None:
    """The known action that was probably meant, or None if none is near."""
    import difflib

    service, _, name = text.lower().rpartition(":")
    # `PublishRetain`, `ReceiveMessage`: the right words in another order, or one too many.
    for known in ACTIONS.values():
        known_service, _, known_name = known.name.partition(":")
        if name and sorted(known_name.lower()) == sorted(name) and service in (known_service, ""):
            return known.name
    close = difflib.get_close_matches(f"{service or 'iot'}:{name}", ACTIONS, n=1, cutoff=0.8)
    return ACTIONS[close[0]].name if close else None
