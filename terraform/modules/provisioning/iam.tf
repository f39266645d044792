# --- the role under which AWS IoT carries out the template ---

resource "aws_iam_role" "provisioning" {
  name        = "${var.prefix}-provisioning"
  description = "Assumed by AWS IoT to carry out the provisioning template ${var.template_name}."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AwsIotOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "iot.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        # The form that AWS documents for roles. Whether AWS IoT sends the template's own ARN here is not documented, and
        # a narrower pattern that it does not send would stop every device.
        ArnLike = { "aws:SourceArn" = "${local.iot_prefix}:*" }
      }
    }]
  })
}

# AWS publishes no minimal role, only a managed policy on "*". This is that list without what our template never does
# (making policies or certificates, detaching, leaving groups, billing groups), one statement a kind of resource. An action
# that AWS IoT checks against two kinds stands in both: a membership against thing and group.
locals {
  provisioning_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # A certificate's id is not known before the device asks. AttachPolicy is checked against the certificate only: IAM
        # cannot say which IoT policy may be attached. The hook, which names it from the catalogue, is what limits that.
        Sid    = "Certificates"
        Effect = "Allow"
        Action = [
          "iot:AttachPolicy",
          "iot:DescribeCertificate",
          "iot:UpdateCertificate",
        ]
        Resource = ["${local.iot_prefix}:cert/*"]
      },
      {
        Sid    = "ThingsOfTheCatalogue"
        Effect = "Allow"
        Action = [
          "iot:AddThingToThingGroup",
          "iot:CreateThing",
          "iot:DescribeThing",
          "iot:ListThingGroupsForThing",
          "iot:UpdateThing",
          "iot:UpdateThingGroupsForThing",
        ]
        Resource = [for prefix in sort(var.thing_name_prefixes) : "${local.iot_prefix}:thing/${prefix}*"]
      },
      {
        Sid    = "GroupsOfTheCatalogue"
        Effect = "Allow"
        Action = [
          "iot:AddThingToThingGroup",
          "iot:DescribeThingGroup",
          "iot:UpdateThingGroupsForThing",
        ]
        Resource = [for type in var.device_types : type.group]
      },
      {
        Sid      = "ThingTypesOfTheCatalogue"
        Effect   = "Allow"
        Action   = ["iot:DescribeThingType"]
        Resource = [for type in var.device_types : type.thing_type]
      },
      {
        Sid      = "PoliciesOfTheCatalogue"
        Effect   = "Allow"
        Action   = ["iot:GetPolicy"]
        Resource = [for type in var.device_types : type.policy]
      },
      {
        # The service authorization reference names no resource for these: a statement with an ARN would not grant them.
        Sid    = "ActionsThatTakeNoResource"
        Effect = "Allow"
        Action = [
          "iot:AttachThingPrincipal",
          "iot:ListAttachedPolicies",
          "iot:ListPrincipalPolicies",
          "iot:ListPrincipalThings",
          "iot:ListThingPrincipals",
        ]
        Resource = ["*"]
      },
    ]
  })
}

resource "aws_iam_role_policy" "provisioning" {
  name   = "register-things"
  role   = aws_iam_role.provisioning.id
  policy = local.provisioning_policy

  lifecycle {
    precondition {
      condition     = length(local.provisioning_policy) <= 10240
      error_message = "The provisioning role's policy has ${length(local.provisioning_policy)} characters and IAM takes 10240, which is about 25 device types: split the catalogue over two stacks, for example by product line."
    }
  }
}

# --- the role of the hook ---

resource "aws_iam_role" "hook" {
  name        = local.hook_name
  description = "Execution role of the function ${local.hook_name}."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "LambdaOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

# One conditional write is all that the hook ever does; it cannot read, list or delete.
resource "aws_iam_role_policy" "hook" {
  name = "lease-a-serial"
  role = aws_iam_role.hook.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LeaseASerial"
        Effect   = "Allow"
        Action   = ["dynamodb:UpdateItem"]
        Resource = [var.registry_table.arn]
      },
      {
        Sid      = "WriteItsOwnLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [aws_cloudwatch_log_group.hook.arn, "${aws_cloudwatch_log_group.hook.arn}:*"] # the group, and its streams
      },
    ]
  })
}
