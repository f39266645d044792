locals {
  _trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AwsIotOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "iot.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.iot_prefix}:*" }
      }
    }]
  })
}

resource "aws_iam_role" "audit" {
  name               = "${var.prefix}-device-defender"
  description        = "Assumed by AWS IoT Device Defender to look at what it audits."
  assume_role_policy = local._trust
}

# The actions of AWS's managed policy AWSIoTDeviceDefenderAudit, and no resource beside those that they can be about.
resource "aws_iam_role_policy" "audit" {
  name = "look-at-what-is-audited"
  role = aws_iam_role.audit.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # None of these takes a resource.
        Sid    = "ListTheAccount"
        Effect = "Allow"
        Action = [
          "iam:GetServiceLastAccessedDetails",
          "iot:GetLoggingOptions",
          "iot:GetV2LoggingOptions",
          "iot:ListCACertificates",
          "iot:ListCertificates",
          "iot:ListPolicies",
          "iot:ListRoleAliases",
        ]
        Resource = "*"
      },
      {
        Sid    = "LookAtCertificatesAndPolicies"
        Effect = "Allow"
        Action = [
          "iot:DescribeCACertificate",
          "iot:DescribeCertificate",
          "iot:DescribeRoleAlias",
          "iot:GetEffectivePolicies",
          "iot:GetPolicy",
        ]
        Resource = [for kind in ["cacert", "cert", "policy", "rolealias"] : "${local.iot_prefix}:${kind}/*"]
      },
      {
        # Roles behind role aliases and identity pools, whichever they are: that is what these checks are about.
        Sid    = "LookAtRoles"
        Effect = "Allow"
        Action = [
          "iam:GetRole",
          "iam:GetRolePolicy",
          "iam:ListAttachedRolePolicies",
          "iam:ListRolePolicies",
        ]
        Resource = ["arn:${local._partition}:iam::${local.account_id}:role/*"]
      },
      {
        # Whoever a report of what was last used can be about: parliament takes no part of them for this action.
        Sid      = "AskWhatTheyUse"
        Effect   = "Allow"
        Action   = ["iam:GenerateServiceLastAccessedDetails"]
        Resource = ["arn:${local._partition}:iam::${local.account_id}:*"]
      },
      {
        # Of this account and of AWS itself.
        Sid      = "LookAtTheirPolicies"
        Effect   = "Allow"
        Action   = ["iam:GetPolicy", "iam:GetPolicyVersion"]
        Resource = ["arn:${local._partition}:iam::*:policy/*"]
      },
      {
        Sid      = "LookAtIdentityPools"
        Effect   = "Allow"
        Action   = ["cognito-identity:GetIdentityPoolRoles"]
        Resource = ["arn:${local._partition}:cognito-identity:${local._region}:${local.account_id}:identitypool/*"]
      },
    ]
  })
}

resource "aws_iam_role" "notify" {
  name               = "${var.prefix}-device-defender-notify"
  description        = "Assumed by AWS IoT Device Defender to tell what its audits have found."
  assume_role_policy = local._trust
}

resource "aws_iam_role_policy" "notify" {
  name = "tell-the-alarms-topic"
  role = aws_iam_role.notify.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "TellTheAlarmsTopic"
        Effect   = "Allow"
        Action   = ["sns:Publish"]
        Resource = [var.alarm_topic_arn]
      },
      {
        # The topic is encrypted: who publishes needs its key.
        Sid       = "EncryptForThatTopic"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = "sns.${local._region}.${data.aws_partition.current.dns_suffix}" } }
      },
    ]
  })
}
