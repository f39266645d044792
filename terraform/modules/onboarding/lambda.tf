resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${local.function_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_50:Its log says of each event what became of it; traces need rights on *
  # checkov:skip=CKV_AWS_115:Events wait in Lambda's own queue; a new account's quota leaves none to reserve
  # checkov:skip=CKV_AWS_117:It calls DynamoDB and AWS IoT alone, under a role that may do nothing else
  # checkov:skip=CKV_AWS_173:The names of a table and of an endpoint, nothing secret
  # checkov:skip=CKV_AWS_272:The plan carries the package's hash, which this checkout builds; nobody but the deployer changes it

  function_name    = local.function_name
  description      = "Gives a new thing its first shadow and follows its status in the registry."
  role             = aws_iam_role.this.arn
  runtime          = "python3.13"
  handler          = "handler.handler"
  filename         = var.function.package
  source_code_hash = var.function.source_code_hash
  memory_size      = 256
  timeout          = 30

  environment {
    variables = {
      AUDIT_TABLE_NAME = var.audit_table.name
      # Under the name that the SDK reads by itself: the data plane's address differs from account to account.
      AWS_ENDPOINT_URL_IOT_DATA_PLANE = var.iot_data_endpoint_url
      TABLE_NAME                      = var.registry_table.name
    }
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.dead_letter.arn
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.this.name
  }

  # Lambda refuses a dead-letter queue to which the role cannot send.
  depends_on = [aws_iam_role_policy.this]
}

# An event that is an hour old is no longer worth a retry: by then somebody should be looking at the queue.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_event_age_in_seconds = 3600
  maximum_retry_attempts       = 2
}

resource "aws_lambda_permission" "rules" {
  for_each = local.rules

  statement_id   = "AllowRule-${each.key}"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this.function_name
  principal      = "iot.amazonaws.com"
  source_account = local.account_id
  source_arn     = "${local.iot_prefix}:rule/${each.value.name}"
}
