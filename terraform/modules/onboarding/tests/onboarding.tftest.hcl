mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  audit_table = {
    arn  = "arn:aws:dynamodb:eu-west-1:123456789012:table/fleet-gate-audit"
    name = "fleet-gate-audit"
  }
  claim_client_id_prefix = "fleetgate-claim-"
  function = {
    package          = "onboarding.zip"
    source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
  }
  iot_data_endpoint_url = "https://a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com"
  log_retention_days    = 30
  prefix                = "fleet-gate"
  registry_table = {
    arn  = "arn:aws:dynamodb:eu-west-1:123456789012:table/fleet-gate-device-registry"
    name = "fleet-gate-device-registry"
  }
  thing_name_prefixes = ["temperature-sensor-", "gateway-"]
}

# --- the rules ---

run "one_rule_hears_of_new_things_and_one_of_devices_that_connect" {
  command = plan

  assert {
    condition = { for key, rule in aws_iot_topic_rule.this : key => rule.sql } == {
      thing_created    = "SELECT * FROM '$aws/events/thing/+/created'"
      device_connected = "SELECT * FROM '$aws/events/presence/connected/+' WHERE NOT regexp_matches(clientId, '^fleetgate-claim-')"
    }
    error_message = "The topics must be in single quotes and begin with one dollar sign."
  }

  assert {
    condition = { for key, rule in aws_iot_topic_rule.this : key => rule.name } == {
      thing_created    = "fleet_gate_thing_created"
      device_connected = "fleet_gate_device_connected"
    }
    error_message = "A rule's name takes no hyphen."
  }

  assert {
    condition     = alltrue([for rule in aws_iot_topic_rule.this : rule.enabled && rule.sql_version == "2016-03-23"])
    error_message = "Both rules must be enabled, in the agreed version of SQL."
  }
}

run "both_rules_call_the_function_and_keep_what_they_could_not_deliver" {
  command = plan

  assert {
    condition     = alltrue([for rule in aws_iot_topic_rule.this : one(rule.lambda).function_arn == aws_lambda_function.this.arn])
    error_message = "Both rules must call the function."
  }

  assert {
    condition = alltrue([
      for rule in aws_iot_topic_rule.this :
      one(one(rule.error_action).sqs).queue_url == aws_sqs_queue.dead_letter.url
      && one(one(rule.error_action).sqs).role_arn == aws_iam_role.rules.arn
    ])
    error_message = "What a rule cannot deliver must end in the queue, under the rules' role."
  }
}

run "only_these_two_rules_of_this_account_may_call_the_function" {
  command = plan

  assert {
    condition = { for key, p in aws_lambda_permission.rules : key => [p.principal, p.action, p.source_account, p.source_arn] } == {
      thing_created = [
        "iot.amazonaws.com", "lambda:InvokeFunction", "123456789012",
        "arn:aws:iot:eu-west-1:123456789012:rule/fleet_gate_thing_created",
      ]
      device_connected = [
        "iot.amazonaws.com", "lambda:InvokeFunction", "123456789012",
        "arn:aws:iot:eu-west-1:123456789012:rule/fleet_gate_device_connected",
      ]
    }
    error_message = "Each permission must carry both source conditions."
  }
}

run "the_rules_role_may_fill_the_queue_and_nothing_else" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role_policy.rules.policy).Statement == [{
      Sid      = "KeepWhatFailed"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = ["arn:aws:sqs:eu-west-1:123456789012:mocked"]
    }]
    error_message = "The rules' role must send to this queue and do nothing else."
  }

  assert {
    condition = jsondecode(aws_iam_role.rules.assume_role_policy).Statement == [{
      Sid       = "AwsIotOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "iot.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnLike      = { "aws:SourceArn" = "arn:aws:iot:eu-west-1:123456789012:*" }
      }
    }]
    error_message = "The trust must name the source account and the source ARN."
  }
}

# --- the function ---

run "the_functions_role_may_do_exactly_this" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role_policy.this.policy).Statement == [
      {
        Sid      = "FollowTheStatus"
        Effect   = "Allow"
        Action   = ["dynamodb:UpdateItem"]
        Resource = ["arn:aws:dynamodb:eu-west-1:123456789012:table/fleet-gate-device-registry"]
      },
      {
        Sid      = "RecordWhatHappened"
        Effect   = "Allow"
        Action   = ["dynamodb:PutItem"]
        Resource = ["arn:aws:dynamodb:eu-west-1:123456789012:table/fleet-gate-audit"]
      },
      {
        Sid    = "GiveTheFirstShadow"
        Effect = "Allow"
        Action = ["iot:GetThingShadow", "iot:UpdateThingShadow"]
        Resource = [
          "arn:aws:iot:eu-west-1:123456789012:thing/gateway-*",
          "arn:aws:iot:eu-west-1:123456789012:thing/temperature-sensor-*",
        ]
      },
      {
        Sid      = "KeepWhatFailed"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = ["arn:aws:sqs:eu-west-1:123456789012:mocked"]
      },
      {
        Sid      = "WriteItsOwnLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/mocked", "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/mocked:*"]
      },
    ]
    error_message = "A permission more is a risk and a permission less leaves devices half onboarded."
  }

  assert {
    condition     = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "The trust must name the source account."
  }

  assert {
    condition     = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Principal == { Service = "lambda.amazonaws.com" }
    error_message = "Only Lambda may assume the role."
  }
}

run "the_function_knows_its_tables_and_the_data_plane" {
  command = plan

  assert {
    condition = one(aws_lambda_function.this.environment).variables == tomap({
      AUDIT_TABLE_NAME                = "fleet-gate-audit"
      AWS_ENDPOINT_URL_IOT_DATA_PLANE = "https://a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com"
      TABLE_NAME                      = "fleet-gate-device-registry"
    })
    error_message = "These three settings are what the function reads."
  }

  assert {
    condition     = aws_lambda_function.this.runtime == "python3.13" && aws_lambda_function.this.handler == "handler.handler"
    error_message = "Runtime and handler are agreed with the package."
  }

  assert {
    condition     = aws_lambda_function.this.function_name == "fleet-gate-onboarding" && output.function_name == "fleet-gate-onboarding"
    error_message = "Function and output must carry the agreed name."
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == var.function.source_code_hash
    error_message = "The function must be the built one."
  }
}

run "an_event_is_tried_three_times_and_then_kept_encrypted_for_fourteen_days" {
  command = plan

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 2 && aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 3600
    error_message = "Two retries within an hour."
  }

  assert {
    condition     = one(aws_lambda_function.this.dead_letter_config).target_arn == aws_sqs_queue.dead_letter.arn
    error_message = "The function must have the dead-letter queue."
  }

  assert {
    condition     = aws_sqs_queue.dead_letter.name == "fleet-gate-onboarding-dead-letter" && aws_sqs_queue.dead_letter.message_retention_seconds == 1209600
    error_message = "The queue must keep messages as long as SQS can."
  }

  assert {
    condition     = aws_sqs_queue.dead_letter.sqs_managed_sse_enabled
    error_message = "The queue must be encrypted."
  }

  assert {
    condition     = output.dead_letter_queue_url == aws_sqs_queue.dead_letter.url
    error_message = "The output must be the queue's URL."
  }
}

run "the_function_logs_json_into_a_group_that_forgets" {
  command = plan

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/aws/lambda/fleet-gate-onboarding" && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "The group must be the function's and have a retention."
  }

  assert {
    condition     = one(aws_lambda_function.this.logging_config).log_format == "JSON" && one(aws_lambda_function.this.logging_config).log_group == aws_cloudwatch_log_group.this.name
    error_message = "The function must log JSON into its group."
  }
}

# --- refusals ---

run "a_claim_prefix_with_a_quote_is_refused_because_it_stands_in_sql" {
  command = plan

  variables {
    claim_client_id_prefix = "claim-' OR true"
  }

  expect_failures = [var.claim_client_id_prefix]
}

run "an_empty_claim_prefix_is_refused_because_it_would_match_every_client" {
  command = plan

  variables {
    claim_client_id_prefix = ""
  }

  expect_failures = [var.claim_client_id_prefix]
}

run "an_endpoint_without_a_scheme_is_refused" {
  command = plan

  variables {
    iot_data_endpoint_url = "a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com"
  }

  expect_failures = [var.iot_data_endpoint_url]
}

run "a_folder_in_place_of_a_zip_is_refused" {
  command = plan

  variables {
    function = {
      package          = "lambda_src/onboarding"
      source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    }
  }

  expect_failures = [var.function]
}

run "a_hash_in_hex_is_refused" {
  command = plan

  variables {
    function = {
      package          = "onboarding.zip"
      source_code_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }
  }

  expect_failures = [var.function]
}

run "a_prefix_that_would_match_every_thing_is_refused" {
  command = plan

  variables {
    thing_name_prefixes = [""]
  }

  expect_failures = [var.thing_name_prefixes]
}

run "a_prefix_with_an_underscore_is_refused" {
  command = plan

  variables {
    prefix = "fleet_gate"
  }

  expect_failures = [var.prefix]
}

run "a_retention_that_cloudwatch_does_not_know_is_refused" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}
