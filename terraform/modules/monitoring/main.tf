locals {
  account_id = data.aws_caller_identity.current.account_id
  _partition = data.aws_partition.current.partition
  # .id, because .name is deprecated from version 6 of the provider and .region does not exist before it.
  region = data.aws_region.current.id
}

# Everything that alarms goes here; who is woken by it is the platform team's business.
resource "aws_sns_topic" "alarms" {
  name              = "${var.prefix}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Condition = {
        ArnLike      = { "aws:SourceArn" = "arn:${local._partition}:cloudwatch:${local.region}:${local.account_id}:alarm:${var.prefix}-*" }
        StringEquals = { "aws:SourceAccount" = local.account_id }
      }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.alarm_emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}
