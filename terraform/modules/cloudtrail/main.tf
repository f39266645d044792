locals {
  account_id = data.aws_caller_identity.current.account_id
  _partition = data.aws_partition.current.partition
  # .id, because .name is deprecated from version 6 of the provider and .region does not exist before it.
  _region = data.aws_region.current.id

  name        = "${var.prefix}-calls"
  bucket_name = "${var.prefix}-logs-${local.account_id}-${local._region}" # at most 63 characters, the longest prefix included
  # Written here and not taken from the trail: bucket and key have to know it before there is one.
  trail_arn = "arn:${local._partition}:cloudtrail:${local._region}:${local.account_id}:trail/${local.name}"
}

# Calls that create, change and delete; what is read or written in tables and buckets (data events) is not needed here, and would
# cost by the call. What devices do over MQTT, CloudTrail does not see at all.
resource "aws_cloudtrail" "this" {
  #checkov:skip=CKV_AWS_252:who is told of each new log file, is the platform team's business; the alarms have a topic of their own
  #checkov:skip=CKV2_AWS_10:what has to be seen at once has alarms; the trail is there to look things up in afterwards
  name                          = local.name
  s3_bucket_name                = aws_s3_bucket.this.id
  kms_key_id                    = aws_kms_key.this.arn
  is_multi_region_trail         = var.multi_region
  include_global_service_events = true # IAM's calls, in whichever Region the trail is
  enable_log_file_validation    = true

  # CloudTrail tries the bucket and the key when the trail is made.
  depends_on = [aws_s3_bucket_policy.this]
}

# --- the key ---

# A slash, since <prefix>-calls may be another stack's prefix, and so its alias.
resource "aws_kms_alias" "this" {
  name          = "alias/${var.prefix}/calls"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_kms_key" "this" {
  description             = "API calls that CloudTrail has logged for ${var.prefix}."
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Without it nobody could ever change the key again; who in the account may read the logs, IAM decides.
        Sid       = "IamOfThisAccount"
        Effect    = "Allow"
        Action    = "kms:*"
        Resource  = "*"
        Principal = { AWS = "arn:${local._partition}:iam::${local.account_id}:root" }
      },
      {
        Sid       = "ThisTrailEncrypts"
        Effect    = "Allow"
        Action    = "kms:GenerateDataKey*"
        Resource  = "*"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Condition = {
          StringEquals = { "aws:SourceArn" = local.trail_arn }
          StringLike   = { "kms:EncryptionContext:aws:cloudtrail:arn" = "arn:${local._partition}:cloudtrail:*:${local.account_id}:trail/*" }
        }
      },
      {
        # Decrypt, because the bucket has a key of its own of this one (a bucket key).
        Sid       = "ThisTrailLooksAtTheKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:DescribeKey"]
        Resource  = "*"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
      },
    ]
  })
}
