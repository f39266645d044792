locals {
  census_name = "${var.prefix}-census"
}

resource "aws_cloudwatch_log_group" "census" {
  name              = "/aws/lambda/${local.census_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "census" {
  # checkov:skip=CKV_AWS_50:It queries one index every 15 minutes; Lambda's own duration says how long that takes
  # checkov:skip=CKV_AWS_115:It runs once every 15 minutes; a new account's quota leaves none to reserve
  # checkov:skip=CKV_AWS_116:A count that failed is an alarm, and the next one is due soon; an old one is worth nothing
  # checkov:skip=CKV_AWS_117:It queries DynamoDB alone, under a role that may do nothing else
  # checkov:skip=CKV_AWS_173:Names and numbers, nothing secret
  # checkov:skip=CKV_AWS_272:The plan carries the package's hash, which this checkout builds; nobody but the deployer changes it

  function_name    = local.census_name
  description      = "Counts the devices of the registry by type and status, and says which are stuck."
  role             = aws_iam_role.census.arn
  runtime          = "python3.13"
  handler          = "handler.handler"
  filename         = var.census_function.package
  source_code_hash = var.census_function.source_code_hash
  memory_size      = 256
  timeout          = 600

  environment {
    variables = {
      PROVISIONED_SECONDS  = tostring(var.stuck_after_seconds.provisioned)
      PROVISIONING_SECONDS = tostring(var.stuck_after_seconds.provisioning)
      TABLE_NAME           = var.registry_table.name
      TEMPLATE_NAME        = var.template_name
    }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.census.name
  }
}

# A count that failed is not repeated: the next one is due soon, and it is an alarm. The schedule calls asynchronously, so Lambda
# would try twice more by itself.
resource "aws_lambda_function_event_invoke_config" "census" {
  function_name                = aws_lambda_function.census.function_name
  maximum_event_age_in_seconds = 300
  maximum_retry_attempts       = 0
}

resource "aws_scheduler_schedule" "census" {
  # checkov:skip=CKV_AWS_297:It has no input: there is nothing in it to encrypt

  name                = local.census_name
  description         = "When the devices of the registry are counted."
  schedule_expression = "rate(15 minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.census.arn
    role_arn = aws_iam_role.schedule.arn

    retry_policy {
      maximum_event_age_in_seconds = 300
      maximum_retry_attempts       = 0
    }
  }

  depends_on = [aws_iam_role_policy.schedule]
}

resource "aws_iam_role" "census" {
  name        = local.census_name
  description = "Execution role of the function ${local.census_name}."

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

resource "aws_iam_role_policy" "census" {
  name = "count-devices"
  role = aws_iam_role.census.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "CountTheDevices"
        Effect   = "Allow"
        Action   = ["dynamodb:Query"]
        Resource = ["${var.registry_table.arn}/index/DeviceTypeIndex"]
      },
      {
        Sid      = "WriteItsOwnLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [aws_cloudwatch_log_group.census.arn, "${aws_cloudwatch_log_group.census.arn}:*"] # the group, and its streams
      },
    ]
  })
}

resource "aws_iam_role" "schedule" {
  name        = "${local.census_name}-schedule"
  description = "Assumed by EventBridge Scheduler to call the function ${local.census_name}."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "SchedulesOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local._partition}:scheduler:${local.region}:${local.account_id}:schedule-group/default" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "schedule" {
  name = "call-the-census"
  role = aws_iam_role.schedule.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "CallTheCensus"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = [aws_lambda_function.census.arn]
    }]
  })
}
