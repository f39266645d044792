mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  claim_certificate_ids = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  ]
  device_types = {
    gateway = {
      group      = "arn:aws:iot:eu-west-1:123456789012:thinggroup/gateway-devices"
      policy     = "arn:aws:iot:eu-west-1:123456789012:policy/fleetgate-gateway"
      thing_type = "arn:aws:iot:eu-west-1:123456789012:thingtype/gateway"
    }
    temperature-sensor = {
      group      = "arn:aws:iot:eu-west-1:123456789012:thinggroup/temperature-sensor-devices"
      policy     = "arn:aws:iot:eu-west-1:123456789012:policy/fleetgate-temperature-sensor"
      thing_type = "arn:aws:iot:eu-west-1:123456789012:thingtype/temperature-sensor"
    }
  }
  hook = {
    package          = "hook.zip"
    source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
  }
  lease_seconds      = 300
  log_retention_days = 30
  prefix             = "fleetgate"
  registry_table = {
    arn  = "arn:aws:dynamodb:eu-west-1:123456789012:table/fleetgate-device-registry"
    name = "fleetgate-device-registry"
  }
  template_body       = "{\"Parameters\": {}, \"Resources\": {}}"
  template_name       = "fleetgate-fleet"
  thing_name_prefixes = ["temperature-sensor-", "gateway-"]
}

# --- the template ---

run "the_template_is_enabled_and_asks_the_hook" {
  command = plan

  assert {
    condition     = aws_iot_provisioning_template.this.enabled && aws_iot_provisioning_template.this.type == "FLEET_PROVISIONING"
    error_message = "A template is disabled unless it is said otherwise; ours must be enabled and for claims."
  }

  assert {
    condition     = one(aws_iot_provisioning_template.this.pre_provisioning_hook).target_arn == aws_lambda_function.hook.arn
    error_message = "No device may get past the hook."
  }

  assert {
    condition     = one(aws_iot_provisioning_template.this.pre_provisioning_hook).payload_version == "2020-04-01"
    error_message = "2020-04-01 is the only version of the hook's payload that is documented."
  }

  assert {
    condition     = jsondecode(aws_iot_provisioning_template.this.template_body) == jsondecode(var.template_body)
    error_message = "The body must be the rendered one, unchanged."
  }

  assert {
    condition     = aws_iot_provisioning_template.this.provisioning_role_arn == aws_iam_role.provisioning.arn
    error_message = "The template must run under its own role."
  }
}

# --- the provisioning role ---

run "the_provisioning_role_may_do_exactly_this" {
  command = plan

  assert {
    condition = {
      for s in jsondecode(aws_iam_role_policy.provisioning.policy).Statement : s.Sid => s.Action
      } == {
      Certificates = [
        "iot:AttachPolicy",
        "iot:DescribeCertificate",
        "iot:UpdateCertificate",
      ]
      ThingsOfTheCatalogue = [
        "iot:AddThingToThingGroup",
        "iot:CreateThing",
        "iot:DescribeThing",
        "iot:ListThingGroupsForThing",
        "iot:UpdateThing",
        "iot:UpdateThingGroupsForThing",
      ]
      GroupsOfTheCatalogue = [
        "iot:AddThingToThingGroup",
        "iot:DescribeThingGroup",
        "iot:UpdateThingGroupsForThing",
      ]
      ThingTypesOfTheCatalogue = ["iot:DescribeThingType"]
      PoliciesOfTheCatalogue   = ["iot:GetPolicy"]
      ActionsThatTakeNoResource = [
        "iot:AttachThingPrincipal",
        "iot:ListAttachedPolicies",
        "iot:ListPrincipalPolicies",
        "iot:ListPrincipalThings",
        "iot:ListThingPrincipals",
      ]
    }
    error_message = "A permission more is a risk and a permission less stops every device: change this list together with the reason."
  }

  assert {
    condition     = alltrue([for s in jsondecode(aws_iam_role_policy.provisioning.policy).Statement : s.Effect == "Allow"])
    error_message = "Every statement must allow."
  }
}

run "the_provisioning_role_reaches_only_the_catalogues_things_groups_types_and_policies" {
  command = plan

  assert {
    condition = {
      for s in jsondecode(aws_iam_role_policy.provisioning.policy).Statement : s.Sid => s.Resource
      } == {
      Certificates = ["arn:aws:iot:eu-west-1:123456789012:cert/*"]
      ThingsOfTheCatalogue = [
        "arn:aws:iot:eu-west-1:123456789012:thing/gateway-*",
        "arn:aws:iot:eu-west-1:123456789012:thing/temperature-sensor-*",
      ]
      GroupsOfTheCatalogue = [
        "arn:aws:iot:eu-west-1:123456789012:thinggroup/gateway-devices",
        "arn:aws:iot:eu-west-1:123456789012:thinggroup/temperature-sensor-devices",
      ]
      ThingTypesOfTheCatalogue = [
        "arn:aws:iot:eu-west-1:123456789012:thingtype/gateway",
        "arn:aws:iot:eu-west-1:123456789012:thingtype/temperature-sensor",
      ]
      PoliciesOfTheCatalogue = [
        "arn:aws:iot:eu-west-1:123456789012:policy/fleetgate-gateway",
        "arn:aws:iot:eu-west-1:123456789012:policy/fleetgate-temperature-sensor",
      ]
      ActionsThatTakeNoResource = ["*"]
    }
    error_message = "Only certificates, whose ids are not known beforehand, and actions that take no resource may stand behind a wildcard."
  }
}

run "aws_iot_assumes_the_provisioning_role_for_this_account_only" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.provisioning.assume_role_policy).Statement == [{
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

# --- the hook ---

run "the_hooks_role_may_write_one_table_and_its_own_log" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role_policy.hook.policy).Statement == [
      {
        Sid      = "LeaseASerial"
        Effect   = "Allow"
        Action   = ["dynamodb:UpdateItem"]
        Resource = ["arn:aws:dynamodb:eu-west-1:123456789012:table/fleetgate-device-registry"]
      },
      {
        Sid      = "WriteItsOwnLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/mocked", "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/mocked:*"]
      },
    ]
    error_message = "The hook makes one conditional write and logs; it needs nothing else."
  }

  assert {
    condition     = jsondecode(aws_iam_role.hook.assume_role_policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "The trust must name the source account."
  }

  assert {
    condition     = jsondecode(aws_iam_role.hook.assume_role_policy).Statement[0].Principal == { Service = "lambda.amazonaws.com" }
    error_message = "Only Lambda may assume the role."
  }
}

run "only_this_template_of_this_account_may_call_the_hook" {
  command = plan

  assert {
    condition = [
      aws_lambda_permission.hook.principal,
      aws_lambda_permission.hook.action,
      aws_lambda_permission.hook.source_account,
      aws_lambda_permission.hook.source_arn,
      aws_lambda_permission.hook.function_name,
      ] == [
      "iot.amazonaws.com",
      "lambda:InvokeFunction",
      "123456789012",
      "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleetgate-fleet",
      "fleetgate-provisioning-hook",
    ]
    error_message = "The permission must carry both source conditions."
  }
}

run "the_hook_knows_its_claims_its_table_its_template_and_its_lease_and_answers_in_time" {
  command = plan

  assert {
    condition = one(aws_lambda_function.hook.environment).variables == tomap({
      CLAIM_CERTIFICATE_IDS = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08,e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
      LEASE_SECONDS         = "300"
      TABLE_NAME            = "fleetgate-device-registry"
      TEMPLATE_ARN          = "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleetgate-fleet"
    })
    error_message = "These four settings are what the hook reads; the claims are sorted, or their order would be a change."
  }

  assert {
    condition     = aws_lambda_function.hook.timeout == 4 && aws_lambda_function.hook.memory_size == 512
    error_message = "AWS IoT waits 5 seconds, cold start included."
  }

  assert {
    condition     = aws_lambda_function.hook.runtime == "python3.13" && aws_lambda_function.hook.handler == "handler.handler"
    error_message = "Runtime and handler are agreed with the package."
  }

  assert {
    condition     = aws_lambda_function.hook.function_name == "fleetgate-provisioning-hook" && aws_lambda_function.hook.source_code_hash == var.hook.source_code_hash
    error_message = "The function must be the built one, under its agreed name."
  }
}

run "the_hook_logs_json_into_a_group_that_forgets" {
  command = plan

  assert {
    condition     = aws_cloudwatch_log_group.hook.name == "/aws/lambda/fleetgate-provisioning-hook" && aws_cloudwatch_log_group.hook.retention_in_days == 30
    error_message = "The group must be the function's and have a retention."
  }

  assert {
    condition     = one(aws_lambda_function.hook.logging_config).log_format == "JSON" && one(aws_lambda_function.hook.logging_config).log_group == aws_cloudwatch_log_group.hook.name
    error_message = "The function must log JSON into its group."
  }
}

run "the_template_arn_that_is_put_out_is_the_one_the_hook_checks" {
  command = plan

  assert {
    condition     = output.template_arn == one(aws_lambda_function.hook.environment).variables.TEMPLATE_ARN
    error_message = "Otherwise the hook denies every device."
  }

  assert {
    condition     = output.template_name == "fleetgate-fleet" && output.hook_function_name == "fleetgate-provisioning-hook"
    error_message = "The outputs must carry the names."
  }
}

run "forty_claims_fit_into_the_functions_environment" {
  command = plan

  variables {
    claim_certificate_ids = [for i in range(40) : format("%064x", i)]
    prefix                = format("a%029d", 0)
    registry_table = {
      arn  = "arn:aws:dynamodb:eu-west-1:123456789012:table/fleetgate-device-registry"
      name = format("%0255d", 0)
    }
    template_name = format("%036d", 0)
  }

  assert {
    condition     = sum([for name, value in one(aws_lambda_function.hook.environment).variables : length(name) + length(value)]) < 4096
    error_message = "Lambda refuses an environment of more than 4 KB."
  }
}

# --- refusals ---

run "a_hook_without_a_claim_is_refused" {
  command = plan

  variables {
    claim_certificate_ids = []
  }

  expect_failures = [var.claim_certificate_ids]
}

run "more_claims_than_the_functions_environment_holds_are_refused" {
  command = plan

  variables {
    claim_certificate_ids = [for i in range(41) : format("%064x", i)]
  }

  expect_failures = [var.claim_certificate_ids]
}

run "the_arn_of_a_claim_is_refused" {
  command = plan

  variables {
    claim_certificate_ids = ["arn:aws:iot:eu-west-1:123456789012:cert/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
  }

  expect_failures = [var.claim_certificate_ids]
}

run "a_claim_in_capitals_is_refused" {
  command = plan

  variables {
    claim_certificate_ids = [upper("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
  }

  expect_failures = [var.claim_certificate_ids]
}

run "a_hook_that_may_take_five_seconds_is_refused" {
  command = plan

  variables {
    hook = {
      package          = "hook.zip"
      source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
      timeout_seconds  = 5
    }
  }

  expect_failures = [var.hook]
}

run "a_hook_too_small_to_start_in_time_is_refused" {
  command = plan

  variables {
    hook = {
      memory_mb        = 128
      package          = "hook.zip"
      source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    }
  }

  expect_failures = [var.hook]
}

run "a_folder_in_place_of_a_zip_is_refused" {
  command = plan

  variables {
    hook = {
      package          = "lambda_src/provisioning_hook"
      source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    }
  }

  expect_failures = [var.hook]
}

run "a_hash_in_hex_is_refused" {
  command = plan

  variables {
    hook = {
      package          = "hook.zip"
      source_code_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }
  }

  expect_failures = [var.hook]
}

run "a_template_name_of_37_characters_is_refused" {
  command = plan

  variables {
    template_name = format("%037d", 0)
  }

  expect_failures = [var.template_name]
}

run "a_template_body_that_is_not_json_is_refused" {
  command = plan

  variables {
    template_body = "Resources: {}"
  }

  expect_failures = [var.template_body]
}

run "a_template_body_of_more_than_10240_characters_is_refused" {
  command = plan

  variables {
    template_body = format("{\"Resources\": {}, \"x\": \"%010240d\"}", 0)
  }

  expect_failures = [var.template_body]
}

run "a_catalogue_without_types_is_refused" {
  command = plan

  variables {
    device_types = {}
  }

  expect_failures = [var.device_types]
}

run "a_prefix_that_would_match_every_thing_is_refused" {
  command = plan

  variables {
    thing_name_prefixes = ["temperature-sensor-", ""]
  }

  expect_failures = [var.thing_name_prefixes]
}

run "a_prefix_with_a_capital_is_refused" {
  command = plan

  variables {
    prefix = "FleetGate"
  }

  expect_failures = [var.prefix]
}

run "a_lease_shorter_than_a_registration_is_refused" {
  command = plan

  variables {
    lease_seconds = 5
  }

  expect_failures = [var.lease_seconds]
}

run "a_retention_that_cloudwatch_does_not_know_is_refused" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}

run "a_catalogue_too_large_for_one_role_is_refused_before_iam_refuses_it" {
  command = plan

  variables {
    device_types = {
      for i in range(60) : "type-${i}" => {
        group      = "arn:aws:iot:eu-west-1:123456789012:thinggroup/type-${i}-devices"
        policy     = "arn:aws:iot:eu-west-1:123456789012:policy/fleetgate-type-${i}"
        thing_type = "arn:aws:iot:eu-west-1:123456789012:thingtype/type-${i}"
      }
    }
  }

  expect_failures = [aws_iam_role_policy.provisioning]
}
