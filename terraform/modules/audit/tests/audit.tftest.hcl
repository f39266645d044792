mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  function = {
    package          = "audit.zip"
    source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
  }
  hook_log_group = {
    arn  = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/fleet-gate-provisioning-hook"
    name = "/aws/lambda/fleet-gate-provisioning-hook"
  }
  group_names         = ["provisioned-devices", "gateway-devices"]
  log_retention_days  = 30
  policy_names        = ["fleet-gate-gateway", "fleet-gate-claim"]
  prefix              = "fleet-gate"
  thing_name_prefixes = ["valve-", "gateway-"]
  thing_type_names    = ["gateway"]
}

# --- registry events ---

run "every_rule_writes_to_the_table_and_to_the_log_and_loses_nothing" {
  command = plan

  assert {
    condition = alltrue([
      for rule in aws_iot_topic_rule.this :
      one(one(rule.dynamodbv2).put_item).table_name == aws_dynamodb_table.this.name
      && one(rule.cloudwatch_logs).log_group_name == aws_cloudwatch_log_group.events.name
      && one(one(rule.error_action).sqs).queue_url == aws_sqs_queue.dead_letter.url
      && rule.enabled
    ])
    error_message = "An event must reach the table and the log, or the dead-letter queue."
  }

  assert {
    condition     = alltrue([for rule in aws_iot_topic_rule.this : can(regex("^[a-zA-Z0-9_]{1,128}$", rule.name))])
    error_message = "A rule's name takes letters, digits and underscores."
  }

  assert {
    condition     = alltrue([for rule in aws_iot_topic_rule.this : can(regex("AS subject,.* AS id.* FROM '[$]aws/events/[^']+'( WHERE |$)", rule.sql))])
    error_message = "Each entry needs both parts of the table's key, and the topic stands in single quotes."
  }
}

run "the_subject_is_the_part_of_the_topic_that_has_the_name" {
  command = plan

  assert {
    condition = alltrue([
      for rule in local.rules : element(split("/", regex("FROM '([^']+)'", rule.sql)[0]), tonumber(regex("topic\\((\\d)\\)", rule.sql)[0]) - 1) == "+"
      if strcontains(rule.sql, "topic(")
    ])
    error_message = "topic(n) counts from 1 and must fall on a wildcard."
  }

  assert {
    condition     = [for name, rule in local.rules : name if !strcontains(rule.sql, "topic(")] == ["certificate"]
    error_message = "Only the event of a registered certificate has a topic without the name of what it is about."
  }
}

run "there_is_a_rule_for_everything_that_a_device_has_in_the_registry" {
  command = plan

  assert {
    condition = toset([for rule in local.rules : regex("FROM '([^']+)'", rule.sql)[0]]) == toset([
      "$aws/events/certificate/+/+",
      "$aws/events/certificates/registered/+",
      "$aws/events/policy/+/+",
      "$aws/events/thing/+/+",
      "$aws/events/thingGroup/+/+",
      "$aws/events/thingGroupHierarchy/thingGroup/+/childThingGroup/+/+",
      "$aws/events/thingGroupMembership/thingGroup/+/thing/+/+",
      "$aws/events/thingType/+/+",
      "$aws/events/thingTypeAssociation/thing/+/thingType/+/+",
    ])
    error_message = "Things, types, groups, memberships, certificates and policies are in the trail."
  }

  assert {
    condition     = [for name, rule in local.rules : name if strcontains(rule.sql, "SELECT *") && contains(keys(local._assumed), name)] == []
    error_message = "Of an event whose payload nobody has documented, only what names and dates it may be kept."
  }

  assert {
    condition     = aws_cloudwatch_log_group.events.retention_in_days == 30
    error_message = "The log must have a retention."
  }
}

run "what_another_stack_or_team_names_stays_out" {
  command = plan

  assert {
    condition = { for name, rule in local.rules : name => try(regex(" WHERE (.*)$", rule.sql)[0], "") } == {
      certificate            = ""
      certificate_assumed    = ""
      policy_assumed         = "regexp_matches(topic(4), '^(fleet-gate-claim|fleet-gate-gateway)$')"
      thing                  = "regexp_matches(topic(4), '^(gateway-|valve-)')"
      thing_group            = "regexp_matches(topic(4), '^(gateway-devices|provisioned-devices)$')"
      thing_group_hierarchy  = "regexp_matches(topic(5), '^(gateway-devices|provisioned-devices)$') OR regexp_matches(topic(7), '^(gateway-devices|provisioned-devices)$')"
      thing_group_membership = "regexp_matches(topic(5), '^(gateway-devices|provisioned-devices)$') OR regexp_matches(topic(7), '^(gateway-|valve-)')"
      thing_type             = "regexp_matches(topic(4), '^(gateway)$')"
      thing_type_association = "regexp_matches(topic(5), '^(gateway-|valve-)') OR regexp_matches(topic(7), '^(gateway)$')"
    }
    error_message = "Registry events are the whole account's; only a certificate's id does not say whose it is."
  }

  # Each place that is compared is one that the topic leaves open: a fixed word would match nothing, or everything.
  assert {
    condition = alltrue(flatten([
      for rule in local.rules : [
        for place in regexall("regexp_matches\\(topic\\((\\d)\\)", rule.sql) : element(split("/", regex("FROM '([^']+)'", rule.sql)[0]), tonumber(place[0]) - 1) == "+"
      ]
    ]))
    error_message = "topic(n) counts from 1 and must fall on a wildcard."
  }
}

run "the_names_of_all_rules_are_put_out_to_be_watched" {
  command = plan

  assert {
    condition     = toset(output.rule_names) == toset([for rule in local.rules : rule.name]) && length(output.rule_names) == 9
    error_message = "A rule that nobody watches loses entries of the trail without a word."
  }
}

# --- the table ---

run "the_table_is_append_only_and_can_be_restored" {
  command = plan

  assert {
    condition = toset(jsondecode(aws_dynamodb_resource_policy.this.policy).Statement[0].Action) == toset([
      "dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PartiQLDelete", "dynamodb:PartiQLUpdate", "dynamodb:UpdateItem",
    ]) && jsondecode(aws_dynamodb_resource_policy.this.policy).Statement[0].Effect == "Deny"
    error_message = "Nobody may change or remove an entry."
  }

  assert {
    condition     = one(aws_dynamodb_table.this.point_in_time_recovery).enabled && one(aws_dynamodb_table.this.server_side_encryption).enabled && aws_dynamodb_table.this.deletion_protection_enabled
    error_message = "The table must be restorable, encrypted and protected."
  }
}

run "the_policy_speaks_of_every_principal_and_of_this_table" {
  command = plan

  assert {
    condition     = jsondecode(aws_dynamodb_resource_policy.this.policy).Statement[0].Principal == "*" && jsondecode(aws_dynamodb_resource_policy.this.policy).Statement[0].Resource == aws_dynamodb_table.this.arn
    error_message = "An exception would be a way to rewrite history."
  }
}

run "the_rules_role_may_add_and_nothing_else" {
  command = plan

  assert {
    condition = { for s in jsondecode(aws_iam_role_policy.rules.policy).Statement : s.Sid => s.Action } == {
      AddAnEntry        = ["dynamodb:PutItem"]
      KeepWhatFailed    = ["sqs:SendMessage"]
      WriteTheEventsLog = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    }
    error_message = "The rules add entries; they neither read nor change any."
  }

  assert {
    condition     = jsondecode(aws_iam_role.rules.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == local.account_id
    error_message = "Only AWS IoT of this account may assume the role."
  }
}

# --- decisions of the hook ---

run "the_functions_role_may_add_and_nothing_else" {
  command = plan

  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.function.policy).Statement : [s.Sid, s.Effect, s.Action]] == [
      ["AddAnEntry", "Allow", ["dynamodb:PutItem"]],
      ["KeepWhatFailed", "Allow", ["sqs:SendMessage"]],
      ["WriteItsOwnLog", "Allow", ["logs:CreateLogStream", "logs:PutLogEvents"]],
    ]
    error_message = "The function adds entries; it neither reads nor changes any."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.function.policy).Statement[0].Resource == [aws_dynamodb_table.this.arn]
    error_message = "Entries go into this table."
  }
}

run "only_the_hooks_log_of_this_account_may_call_the_function" {
  command = plan

  assert {
    condition = (
      aws_lambda_permission.hook_log.principal == "logs.eu-west-1.amazonaws.com"
      && aws_lambda_permission.hook_log.source_account == "123456789012"
      && aws_lambda_permission.hook_log.source_arn == "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/fleet-gate-provisioning-hook:*"
    )
    error_message = "Whoever may call the function may write history."
  }
}

run "the_hooks_decisions_go_to_the_function_and_the_functions_own_log_goes_nowhere" {
  command = plan

  assert {
    condition = (
      aws_cloudwatch_log_subscription_filter.hook.log_group_name == "/aws/lambda/fleet-gate-provisioning-hook"
      && aws_cloudwatch_log_subscription_filter.hook.filter_pattern == "\"provisioning_decision\""
      && aws_cloudwatch_log_subscription_filter.hook.log_group_name != aws_cloudwatch_log_group.function.name
      && one(aws_lambda_function.this.logging_config).log_group == aws_cloudwatch_log_group.function.name
    )
    error_message = "The function's own log must never call it."
  }

  assert {
    condition = one(aws_lambda_function.this.environment).variables == tomap({
      AUDIT_TABLE_NAME = "fleet-gate-audit"
      HOOK_LOG_GROUP   = "/aws/lambda/fleet-gate-provisioning-hook"
    })
    error_message = "These two settings are what the function reads."
  }
}

run "what_failed_is_tried_again_and_then_kept_for_14_days" {
  command = plan

  assert {
    condition = (
      one(aws_lambda_function.this.dead_letter_config).target_arn == aws_sqs_queue.dead_letter.arn
      && aws_sqs_queue.dead_letter.message_retention_seconds == 14 * 24 * 3600
      && aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 2
    )
    error_message = "A decision must not be lost without a word."
  }
}

# --- refusals ---

run "the_functions_own_log_is_refused_as_the_hooks" {
  command = plan

  variables {
    hook_log_group = {
      arn  = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/fleet-gate-audit"
      name = "/aws/lambda/fleet-gate-audit"
    }
  }

  expect_failures = [var.hook_log_group]
}

run "a_group_whose_name_is_a_pattern_is_refused" {
  command = plan

  variables {
    group_names = [".*"]
  }

  expect_failures = [var.group_names]
}

run "a_policy_whose_name_is_a_pattern_is_refused" {
  command = plan

  variables {
    policy_names = ["fleet-gate-claim", "fleet.gate+"]
  }

  expect_failures = [var.policy_names]
}

run "a_beginning_of_nothing_is_refused" {
  command = plan

  variables {
    thing_name_prefixes = [""]
  }

  expect_failures = [var.thing_name_prefixes]
}

run "a_trail_of_no_type_is_refused" {
  command = plan

  variables {
    thing_type_names = []
  }

  expect_failures = [var.thing_type_names]
}

run "a_package_that_is_no_zip_is_refused" {
  command = plan

  variables {
    function = {
      package          = "audit"
      source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    }
  }

  expect_failures = [var.function]
}

run "a_prefix_that_no_rule_can_have_is_refused" {
  command = plan

  variables {
    prefix = "Fleet_gate"
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
