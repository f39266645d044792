# --- the role of the function ---

resource "aws_iam_role" "this" {
  name        = local.function_name
  description = "Execution role of the function ${local.function_name}."

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

resource "aws_iam_role_policy" "this" {
  name = "onboard-devices"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "FollowTheStatus"
        Effect   = "Allow"
        Action   = ["dynamodb:UpdateItem"]
        Resource = [var.registry_table.arn]
      },
      {
        Sid      = "RecordWhatHappened"
        Effect   = "Allow"
        Action   = ["dynamodb:PutItem"]
        Resource = [var.audit_table.arn]
      },
      {
        Sid      = "GiveTheFirstShadow"
        Effect   = "Allow"
        Action   = ["iot:GetThingShadow", "iot:UpdateThingShadow"]
        Resource = [for prefix in sort(var.thing_name_prefixes) : "${local.iot_prefix}:thing/${prefix}*"]
      },
      {
        Sid      = "KeepWhatFailed"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.dead_letter.arn]
      },
      {
        Sid      = "WriteItsOwnLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [aws_cloudwatch_log_group.this.arn, "${aws_cloudwatch_log_group.this.arn}:*"] # the group, and its streams
      },
    ]
  })
}

# --- the role of the rules' error action ---

resource "aws_iam_role" "rules" {
  name        = "${var.prefix}-onboarding-rules"
  description = "Assumed by AWS IoT to put events that it could not deliver into the dead-letter queue."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AwsIotOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "iot.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        # The form that AWS documents for roles; that a rule's own ARN is sent here is not documented.
        ArnLike = { "aws:SourceArn" = "${local.iot_prefix}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "rules" {
  name = "keep-what-failed"
  role = aws_iam_role.rules.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "KeepWhatFailed"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = [aws_sqs_queue.dead_letter.arn]
    }]
  })
}
