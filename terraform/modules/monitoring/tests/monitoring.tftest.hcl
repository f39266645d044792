mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  audit = {
    dead_letter_queue_name = "fleet-gate-audit-dead-letter"
    function_name          = "fleet-gate-audit"
    subscription           = { log_group_name = "/aws/lambda/fleet-gate-provisioning-hook", name = "fleet-gate-audit" }
    table_name             = "fleet-gate-audit"
  }
  census_function = {
    package          = "census.zip"
    source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
  }
  claims = {
    factory-1 = {
      certificate_id  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
      maximum_devices = 5000
    }
  }
  dead_letter_queue_name   = "fleet-gate-onboarding-dead-letter"
  denial_reasons           = ["already_provisioned", "firmware_too_old", "unknown_serial"]
  device_type_names        = ["gateway", "temperature-sensor", "valve"]
  hook_function_name       = "fleet-gate-provisioning-hook"
  kms_key_arn              = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  log_retention_days       = 30
  onboarding_function_name = "fleet-gate-onboarding"
  prefix                   = "fleet-gate"
  registry_table = {
    arn  = "arn:aws:dynamodb:eu-west-1:123456789012:table/fleet-gate-device-registry"
    name = "fleet-gate-device-registry"
  }
  rule_names    = ["fleet_gate_audit_thing", "fleet_gate_thing_created"]
  template_name = "fleet-gate-fleet"
}

# --- alarms ---

run "every_alarm_goes_to_the_topic_and_says_what_it_means_and_what_to_do" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.threshold), values(aws_cloudwatch_metric_alarm.rate), values(aws_cloudwatch_metric_alarm.attack)) :
      alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])
      && startswith(alarm.alarm_name, "fleet-gate-")
      && strcontains(alarm.alarm_description, "What to do: docs/runbook.md, heading ")
      && length(alarm.alarm_description) <= 1024
    ])
    error_message = "An alarm without a receiver, or without a word on what to do, is none."
  }
}

run "an_alarm_stands_for_each_thing_that_can_go_wrong" {
  command = plan

  assert {
    condition = setunion(keys(aws_cloudwatch_metric_alarm.threshold), keys(aws_cloudwatch_metric_alarm.rate), keys(aws_cloudwatch_metric_alarm.attack)) == toset([
      "already-provisioned",
      "audit-dead-letters",
      "audit-delivery",
      "audit-delivery-throttled",
      "audit-errors",
      "audit-lines",
      "burst-already-provisioned",
      "burst-unknown-serial",
      "census-errors",
      "claim-factory-1-use",
      "create-certificate-from-csr-failed",
      "create-keys-failed",
      "dead-letters",
      "denied-firmware-too-old",
      "hook-errors",
      "hook-slow",
      "hook-throttles",
      "onboarding-errors",
      "register-thing-failed",
      "rule-fleet_gate_audit_thing-failure",
      "rule-fleet_gate_audit_thing-lost",
      "rule-fleet_gate_audit_thing-parse-error",
      "rule-fleet_gate_audit_thing-throttled",
      "rule-fleet_gate_thing_created-failure",
      "rule-fleet_gate_thing_created-lost",
      "rule-fleet_gate_thing_created-parse-error",
      "rule-fleet_gate_thing_created-throttled",
      "stuck-devices",
      "unknown-serial",
    ])
    error_message = "Nothing that goes wrong may go unheard."
  }
}

run "what_fails_is_counted_against_what_was_tried" {
  command = plan

  assert {
    condition = {
      for query in aws_cloudwatch_metric_alarm.rate["register-thing-failed"].metric_query : query.id =>
      try([one(query.metric).metric_name, one(query.metric).stat, one(query.metric).dimensions["TemplateName"]], query.expression)
      } == {
      calls    = ["RegisterThingFailed", "SampleCount", "fleet-gate-fleet"]
      failures = ["RegisterThingFailed", "Sum", "fleet-gate-fleet"]
      rate     = "IF(calls >= 10, 100 * failures / calls, 0)"
    }
    error_message = "The rate is Sum over SampleCount of the one metric."
  }
}

run "the_first_burst_of_an_attack_fires_without_anything_learned_before" {
  command = plan

  assert {
    condition = {
      for name, alarm in aws_cloudwatch_metric_alarm.threshold :
      name => [alarm.namespace, alarm.metric_name, alarm.dimensions["Reason"], alarm.statistic, tostring(alarm.threshold), tostring(alarm.evaluation_periods), alarm.comparison_operator]
      if startswith(name, "burst-")
      } == {
      burst-already-provisioned = ["Fleetgate", "Decisions", "already_provisioned", "Sum", "10", "1", "GreaterThanThreshold"]
      burst-unknown-serial      = ["Fleetgate", "Decisions", "unknown_serial", "Sum", "10", "1", "GreaterThanThreshold"]
    }
    error_message = "Before such denials come regularly there is no band, so a number has to fire in the first quarter of an hour."
  }
}

run "below_a_burst_an_attack_is_what_is_more_than_usual" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.attack :
      alarm.threshold_metric_id == "band" && alarm.comparison_operator == "GreaterThanUpperThreshold"
    ]) && keys(aws_cloudwatch_metric_alarm.attack) == ["already-provisioned", "unknown-serial"]
    error_message = "Unknown and taken serial numbers are told by an anomaly as well."
  }
}

run "what_an_action_of_a_rule_did_is_counted_whatever_its_type_is_called" {
  command = plan

  assert {
    condition = {
      for name, alarm in aws_cloudwatch_metric_alarm.threshold : name => "${one(alarm.metric_query).period}: ${one(alarm.metric_query).expression}"
      if length(alarm.metric_query) > 0
      } == {
      rule-fleet_gate_audit_thing-failure   = "300: SELECT SUM(Failure) FROM \"AWS/IoT\" WHERE RuleName = 'fleet_gate_audit_thing'"
      rule-fleet_gate_audit_thing-lost      = "300: SELECT SUM(ErrorActionFailure) FROM \"AWS/IoT\" WHERE RuleName = 'fleet_gate_audit_thing'"
      rule-fleet_gate_thing_created-failure = "300: SELECT SUM(Failure) FROM \"AWS/IoT\" WHERE RuleName = 'fleet_gate_thing_created'"
      rule-fleet_gate_thing_created-lost    = "300: SELECT SUM(ErrorActionFailure) FROM \"AWS/IoT\" WHERE RuleName = 'fleet_gate_thing_created'"
    }
    error_message = "AWS documents the dimension ActionType and none of its values."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.threshold : (length(alarm.metric_query) == 0) == (alarm.metric_name != null && alarm.period != null)
    ])
    error_message = "An alarm asks either for a metric or by a query; with both, CloudWatch refuses it."
  }

  assert {
    condition = {
      for name, alarm in aws_cloudwatch_metric_alarm.threshold : alarm.metric_name => alarm.dimensions
      if startswith(name, "rule-fleet_gate_audit_thing-") && length(alarm.metric_query) == 0
      } == {
      ParseError             = tomap({ RuleName = "fleet_gate_audit_thing" })
      RuleExecutionThrottled = tomap({ RuleName = "fleet_gate_audit_thing" })
    }
    error_message = "What a rule could not read or had no time for is counted by its name alone."
  }
}

run "a_claim_that_is_used_too_often_may_have_leaked" {
  command = plan

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.threshold["claim-factory-1-use"].threshold == 5000
      && aws_cloudwatch_metric_alarm.threshold["claim-factory-1-use"].statistic == "Maximum"
      && aws_cloudwatch_metric_alarm.threshold["claim-factory-1-use"].dimensions == tomap({ ClaimCertificateId = var.claims["factory-1"].certificate_id })
    )
    error_message = "The metric is by claim certificate, and its statistic is Max."
  }
}

run "a_slow_hook_is_an_alarm_before_lambda_ends_it" {
  command = plan

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.threshold["hook-slow"].extended_statistic == "p99"
      && aws_cloudwatch_metric_alarm.threshold["hook-slow"].threshold < 4000
    )
    error_message = "No call lasts longer than the hook's time-out of 4 seconds at most, so the alarm must lie below it to be able to fire."
  }
}

run "a_census_that_does_not_run_is_an_alarm" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.threshold["stuck-devices"].treat_missing_data == "breaching"
    error_message = "Silence must not look like health."
  }
}

run "only_alarms_of_this_stack_may_publish_and_the_topic_is_encrypted" {
  command = plan

  assert {
    condition = jsondecode(aws_sns_topic_policy.alarms.policy).Statement == [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Condition = {
        ArnLike      = { "aws:SourceArn" = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:fleet-gate-*" }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    }]
    error_message = "Nobody else publishes to the topic."
  }

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == var.kms_key_arn
    error_message = "The topic must lie under the customer's key."
  }
}

run "without_alarms_the_rest_stays" {
  command = plan

  variables {
    manage_alarms = false
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.threshold) + length(aws_cloudwatch_metric_alarm.rate) + length(aws_cloudwatch_metric_alarm.attack) == 0
    error_message = "The rehearsal has no alarms."
  }

  assert {
    condition     = aws_scheduler_schedule.census.schedule_expression == "rate(15 minutes)" && aws_sns_topic.alarms.name == "fleet-gate-alarms"
    error_message = "Topic and census are there all the same."
  }
}

# --- the census ---

run "the_census_may_count_and_nothing_else" {
  command = plan

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.census.policy).Statement : [statement.Action, statement.Resource] if statement.Sid == "CountTheDevices"] == [
      [["dynamodb:Query"], ["arn:aws:dynamodb:eu-west-1:123456789012:table/fleet-gate-device-registry/index/DeviceTypeIndex"]],
    ]
    error_message = "It reads the index."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.schedule.policy).Statement[0].Resource == [aws_lambda_function.census.arn]
    error_message = "The schedule may call the census."
  }
}

# --- the log of AWS IoT ---

run "aws_iot_logs_under_a_role_of_its_own" {
  command = plan

  assert {
    condition     = aws_iot_logging_options.this[0].default_log_level == "INFO" && aws_cloudwatch_log_group.iot[0].name == "AWSIotLogsV2"
    error_message = "The group's name is fixed."
  }
}

run "the_log_of_aws_iot_can_be_another_stack_s" {
  command = plan

  variables {
    iot_log_level = ""
  }

  assert {
    condition     = length(aws_iot_logging_options.this) + length(aws_cloudwatch_log_group.iot) + length(aws_iam_role.iot_logging) == 0
    error_message = "There is one log in an account and Region, and one owner of it."
  }
}

# --- the dashboard ---

run "the_dashboard_shows_a_funnel_for_each_type_and_no_two_widgets_in_one_place" {
  command = plan

  assert {
    condition = [for widget in slice(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets, 0, 3) : widget.properties.title] == [
      "gateway: from registered to active", "temperature-sensor: from registered to active", "valve: from registered to active",
    ]
    error_message = "Each type of the catalogue has its funnel."
  }

  assert {
    condition     = length(distinct([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [widget.x, widget.y]])) == 7
    error_message = "Widgets must not lie on each other."
  }
}

run "each_call_is_drawn_against_the_account_s_quota_for_it" {
  command = plan

  assert {
    condition = [
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.properties.annotations.horizontal
      if widget.properties.title == "Calls a minute, against the quotas"
      ] == [[
        { label = "CreateKeysAndCertificate, RegisterThing: 10 a second", value = 600 },
        { label = "CreateCertificateFromCsr: 20 a second", value = 1200 },
    ]]
    error_message = "By default these are AWS's."
  }
}

run "a_quota_that_was_raised_moves_its_line" {
  command = plan

  variables {
    quotas_per_second = { register_thing = 50 }
  }

  assert {
    condition = toset(flatten([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [for line in widget.properties.annotations.horizontal : line.label]
      if widget.properties.title == "Calls a minute, against the quotas"
    ])) == toset(["CreateKeysAndCertificate: 10 a second", "CreateCertificateFromCsr: 20 a second", "RegisterThing: 50 a second"])
    error_message = "A line at the default would look like a quota that is exceeded."
  }
}

# --- what is refused ---

run "a_log_level_that_aws_iot_does_not_know_is_refused" {
  command = plan

  variables {
    iot_log_level = "VERBOSE"
  }

  expect_failures = [var.iot_log_level]
}

run "a_package_that_is_no_zip_is_refused" {
  command = plan

  variables {
    census_function = {
      package          = "census.tar"
      source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    }
  }

  expect_failures = [var.census_function]
}

run "reasons_that_are_none_are_refused" {
  command = plan

  variables {
    denial_reasons = []
  }

  expect_failures = [var.denial_reasons]
}

run "a_retention_that_cloudwatch_logs_does_not_know_is_refused" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}

run "a_quota_of_nothing_is_refused" {
  command = plan

  variables {
    quotas_per_second = { register_thing = 0 }
  }

  expect_failures = [var.quotas_per_second]
}

run "a_rate_that_can_never_be_passed_is_refused" {
  command = plan

  variables {
    maximum_failure_percent = 100
  }

  expect_failures = [var.maximum_failure_percent]
}

run "a_prefix_that_is_no_name_is_refused" {
  command = plan

  variables {
    prefix = "Fleet Gate"
  }

  expect_failures = [var.prefix]
}

run "a_number_of_suspicious_denials_below_zero_is_refused" {
  command = plan

  variables {
    maximum_suspicious_denials = -1
  }

  expect_failures = [var.maximum_suspicious_denials]
}

run "a_stack_without_a_rule_to_watch_is_refused" {
  command = plan

  variables {
    rule_names = []
  }

  expect_failures = [var.rule_names]
}

run "a_rule_whose_name_would_end_the_query_s_text_is_refused" {
  command = plan

  variables {
    rule_names = ["fleet' OR RuleName = 'x"]
  }

  expect_failures = [var.rule_names]
}

run "a_time_too_short_to_be_stuck_is_refused" {
  command = plan

  variables {
    stuck_after_seconds = { provisioning = 10 }
  }

  expect_failures = [var.stuck_after_seconds]
}
