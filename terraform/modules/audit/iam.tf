# --- the role of the rules ---

resource "aws_iam_role" "rules" {
  name        = "${var.prefix}-audit-rules"
  description = "Assumed by AWS IoT to write registry events into the audit trail."

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
  name = "write-the-audit-trail"
  role = aws_iam_role.rules.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "AddAnEntry"
        Effect   = "Allow"
        Action   = ["dynamodb:PutItem"]
        Resource = [aws_dynamodb_table.this.arn]
      },
      {
        Sid      = "WriteTheEventsLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = [aws_cloudwatch_log_group.events.arn, "${aws_cloudwatch_log_group.events.arn}:*"] # the group, and its streams
      },
      {
        Sid      = "KeepWhatFailed"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [aws_sqs_queue.dead_letter.arn]
      },
    ]
  })
}

# --- the role of the function ---

resource "aws_iam_role" "function" {
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

# It adds, and cannot read what is there.
resource "aws_iam_role_policy" "function" {
  name = "keep-decisions"
  role = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "AddAnEntry"
        Effect   = "Allow"
        Action   = ["dynamodb:PutItem"]
        Resource = [aws_dynamodb_table.this.arn]
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
        Resource = [aws_cloudwatch_log_group.function.arn, "${aws_cloudwatch_log_group.function.arn}:*"] # the group, and its streams
      },
    ]
  })
}
