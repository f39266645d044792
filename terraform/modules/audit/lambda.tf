# No subscription ever on this group: what the function logs would call it again, without end.
resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${local.function_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_50:Its log says of each delivery how much of it is kept; traces need rights on *
  # checkov:skip=CKV_AWS_115:Deliveries wait in Lambda's own queue; a new account's quota leaves none to reserve
  # checkov:skip=CKV_AWS_117:It calls DynamoDB alone, under a role that may do nothing else
  # checkov:skip=CKV_AWS_173:The names of a table and of a log group, nothing secret
  # checkov:skip=CKV_AWS_272:The plan carries the package's hash, which this checkout builds; nobody but the deployer changes it
  function_name    = local.function_name
  description      = "Keeps the decisions of the pre-provisioning hook for good."
  role             = aws_iam_role.function.arn
  runtime          = "python3.13"
  handler          = "handler.handler"
  filename         = var.function.package
  source_code_hash = var.function.source_code_hash
  memory_size      = 256
  timeout          = 60

  environment {
    variables = {
      AUDIT_TABLE_NAME = aws_dynamodb_table.this.name
      HOOK_LOG_GROUP   = var.hook_log_group.name
    }
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.dead_letter.arn
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.function.name
  }

  # Lambda refuses a dead-letter queue to which the role cannot send.
  depends_on = [aws_iam_role_policy.function]
}

# The longest that Lambda tries for want of concurrency, 6 hours; an error of the function it tries again twice in any case.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_event_age_in_seconds = 21600
  maximum_retry_attempts       = 2
}

resource "aws_lambda_permission" "hook_log" {
  statement_id   = "AllowTheHooksLog"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this.function_name
  principal      = "logs.${local._region}.${data.aws_partition.current.dns_suffix}"
  source_account = local.account_id
  source_arn     = "${var.hook_log_group.arn}:*"
}

# A word and no `{ $.event = "provisioning_decision" }`: that finds nothing where Lambda has put the line into a record of its own.
# What has the word and is no decision, the function tells.
resource "aws_cloudwatch_log_subscription_filter" "hook" {
  name            = local.function_name
  log_group_name  = var.hook_log_group.name
  filter_pattern  = "\"provisioning_decision\""
  destination_arn = aws_lambda_function.this.arn

  # CloudWatch Logs sends a trial message first. Afterwards, while it may not call the function, it skips lines.
  depends_on = [aws_lambda_permission.hook_log]
}
