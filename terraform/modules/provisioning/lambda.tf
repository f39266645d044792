resource "aws_cloudwatch_log_group" "hook" {
  name              = "/aws/lambda/${local.hook_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "hook" {
  # checkov:skip=CKV_AWS_50:It makes one call; its log and Lambda's duration say where time goes; traces need rights on *
  # checkov:skip=CKV_AWS_115:A cap turns devices away, and a new account's quota leaves none to reserve; hook-throttles alarms
  # checkov:skip=CKV_AWS_116:AWS IoT waits for its answer; dead letters are of asynchronous calls only
  # checkov:skip=CKV_AWS_117:It calls DynamoDB alone, and its role may do one thing; a VPC is one more thing that fails in its 5 s
  # checkov:skip=CKV_AWS_173:Names and numbers, nothing secret; a key of ours is one more thing that fails in its 5 s
  # checkov:skip=CKV_AWS_272:The plan carries the package's hash, which this checkout builds; nobody but the deployer changes it

  function_name    = local.hook_name
  description      = "Decides whether a device with a claim certificate becomes a thing."
  role             = aws_iam_role.hook.arn
  runtime          = "python3.13"
  handler          = "handler.handler"
  filename         = var.hook.package
  source_code_hash = var.hook.source_code_hash
  memory_size      = var.hook.memory_mb
  timeout          = var.hook.timeout_seconds

  environment {
    variables = {
      CLAIM_CERTIFICATE_IDS = join(",", sort(var.claim_certificate_ids))
      LEASE_SECONDS         = tostring(var.lease_seconds)
      TABLE_NAME            = var.registry_table.name
      TEMPLATE_ARN          = local.template_arn
    }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.hook.name
  }

  # Without its permissions the first call would be refused, and the device with it.
  depends_on = [aws_iam_role_policy.hook]
}

resource "aws_lambda_permission" "hook" {
  statement_id   = "AllowProvisioningTemplate"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.hook.function_name
  principal      = "iot.amazonaws.com"
  source_account = local.account_id
  source_arn     = local.template_arn
}
