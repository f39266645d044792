locals {
  account_id = data.aws_caller_identity.current.account_id
  _region    = data.aws_region.current.id
  _partition = data.aws_partition.current.partition
}

# One key for what this stack keeps at rest and AWS services write: logs, alarms, the audit trail.
resource "aws_kms_key" "this" {
  description             = "Logs, alarms and audit entries of ${var.prefix}."
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Without it nobody could ever change the key again; who in the account may use it, IAM decides.
        Sid       = "IamOfThisAccount"
        Effect    = "Allow"
        Action    = "kms:*"
        Resource  = "*"
        Principal = { AWS = "arn:${local._partition}:iam::${local.account_id}:root" }
      },
      {
        Sid       = "LogGroupsOfThisAccount"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Principal = { Service = "logs.${local._region}.${data.aws_partition.current.dns_suffix}" }
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local._partition}:logs:${local._region}:${local.account_id}:*" } }
      },
      {
        # An alarm publishes to an encrypted topic only if CloudWatch may use the key; the AWS-managed key of SNS does not let it.
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.prefix}"
  target_key_id = aws_kms_key.this.key_id
}
