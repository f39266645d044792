locals {
  account_id = data.aws_caller_identity.current.account_id
  _partition = data.aws_partition.current.partition
  # .id, because .name is deprecated from version 6 of the provider and .region does not exist before it.
  _region    = data.aws_region.current.id
  iot_prefix = "arn:${local._partition}:iot:${local._region}:${local.account_id}"

  # By the check's name in AWS IoT its name in CloudFormation, which does not follow from the other.
  checks = {
    AUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK           = "AuthenticatedCognitoRoleOverlyPermissiveCheck"
    CA_CERTIFICATE_EXPIRING_CHECK                                = "CaCertificateExpiringCheck"
    CA_CERTIFICATE_KEY_QUALITY_CHECK                             = "CaCertificateKeyQualityCheck"
    CONFLICTING_CLIENT_IDS_CHECK                                 = "ConflictingClientIdsCheck"
    DEVICE_CERTIFICATE_AGE_CHECK                                 = "DeviceCertificateAgeCheck"
    DEVICE_CERTIFICATE_EXPIRING_CHECK                            = "DeviceCertificateExpiringCheck"
    DEVICE_CERTIFICATE_KEY_QUALITY_CHECK                         = "DeviceCertificateKeyQualityCheck"
    DEVICE_CERTIFICATE_SHARED_CHECK                              = "DeviceCertificateSharedCheck"
    INTERMEDIATE_CA_REVOKED_FOR_ACTIVE_DEVICE_CERTIFICATES_CHECK = "IntermediateCaRevokedForActiveDeviceCertificatesCheck"
    IOT_POLICY_OVERLY_PERMISSIVE_CHECK                           = "IotPolicyOverlyPermissiveCheck"
    IOT_POLICY_POTENTIAL_MISCONFIGURATION_CHECK                  = "IoTPolicyPotentialMisConfigurationCheck"
    IOT_ROLE_ALIAS_ALLOWS_ACCESS_TO_UNUSED_SERVICES_CHECK        = "IotRoleAliasAllowsAccessToUnusedServicesCheck"
    IOT_ROLE_ALIAS_OVERLY_PERMISSIVE_CHECK                       = "IotRoleAliasOverlyPermissiveCheck"
    LOGGING_DISABLED_CHECK                                       = "LoggingDisabledCheck"
    REVOKED_CA_CERTIFICATE_STILL_ACTIVE_CHECK                    = "RevokedCaCertificateStillActiveCheck"
    REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK                = "RevokedDeviceCertificateStillActiveCheck"
    UNAUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK         = "UnauthenticatedCognitoRoleOverlyPermissiveCheck"
  }

  # Certificates that AWS issues expire in 2049, so that their age and not their end is what tells an old one.
  _configurations = {
    DeviceCertificateAgeCheck = { CertAgeThresholdInDays = tostring(var.certificate_age_days) }
  }

  template = {
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "AWS IoT Device Defender: what is audited in this account and Region, and when."
    Resources = {
      Configuration = {
        Type = "AWS::IoT::AccountAuditConfiguration"
        Properties = {
          AccountId = local.account_id
          RoleArn   = aws_iam_role.audit.arn
          AuditCheckConfigurations = {
            for name in values(local.checks) : name => merge(
              { Enabled = true },
              { for configured, values in local._configurations : "Configuration" => values if configured == name },
            )
          }
          AuditNotificationTargetConfigurations = {
            Sns = { Enabled = true, RoleArn = aws_iam_role.notify.arn, TargetArn = var.alarm_topic_arn }
          }
        }
      }
      Schedule = {
        Type = "AWS::IoT::ScheduledAudit"
        # A check that the account has not switched on cannot be asked for.
        DependsOn = ["Configuration"]
        Properties = {
          ScheduledAuditName = "${var.prefix}-weekly"
          Frequency          = "WEEKLY"
          DayOfWeek          = var.day_of_week
          TargetCheckNames   = keys(local.checks)
        }
      }
    }
  }
}

# The provider has no resource for audits: CloudFormation is the way that there is.
resource "aws_cloudformation_stack" "this" {
  #checkov:skip=CKV_AWS_124:the stack is made by Terraform, which tells its failures; a topic would tell them to nobody else
  name          = "${var.prefix}-device-defender"
  template_body = jsonencode(local.template)

  # AWS IoT tries to assume the roles as soon as it hears of them.
  depends_on = [aws_iam_role_policy.audit, aws_iam_role_policy.notify]
}
