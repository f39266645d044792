# AWS IoT's own log. The group has one name in every account and Region, and so has the switch: one stack owns both.
resource "aws_cloudwatch_log_group" "iot" {
  count = var.iot_log_level == "" ? 0 : 1

  name              = "AWSIotLogsV2"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_iot_logging_options" "this" {
  count = var.iot_log_level == "" ? 0 : 1

  default_log_level = var.iot_log_level
  role_arn          = aws_iam_role.iot_logging[0].arn

  depends_on = [aws_iam_role_policy.iot_logging]
}

resource "aws_iam_role" "iot_logging" {
  count = var.iot_log_level == "" ? 0 : 1

  name        = "${var.prefix}-iot-logging"
  description = "Assumed by AWS IoT to write its log."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AwsIotOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "iot.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local._partition}:iot:${local.region}:${local.account_id}:*" }
      }
    }]
  })
}

locals {
  # Of the name, which a plan knows before the group is there: so the policy is judged before it is applied.
  _iot_log_arn = "arn:${local._partition}:logs:${local.region}:${local.account_id}:log-group:${try(aws_cloudwatch_log_group.iot[0].name, "")}"
}

resource "aws_iam_role_policy" "iot_logging" {
  count = var.iot_log_level == "" ? 0 : 1

  name = "write-the-log"
  role = aws_iam_role.iot_logging[0].id

  # Without CreateLogGroup and PutRetentionPolicy of AWS's example: the group is made here, with its key and retention.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "WriteTheLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = [local._iot_log_arn, "${local._iot_log_arn}:*"]
    }]
  })
}
