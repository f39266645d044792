mock_provider "aws" {
  override_during = plan
  source          = "./testing"
}

variables {
  account_id             = "123456789012"
  alarm_emails           = ["iot-oncall@example.com"]
  claim_client_id_prefix = "fleetgate-claim-"
  claim_policy           = "{\"Version\": \"2012-10-17\", \"Statement\": []}"
  claim_policy_name      = "fleetgate-claim"
  claims = {
    factory-1 = {
      active          = true
      csr_pem         = "-----BEGIN CERTIFICATE REQUEST-----\nMIICVTCCAT0CAQAwEDEOMAwGA1UEAwwFY2xhaW0=\n-----END CERTIFICATE REQUEST-----\n"
      maximum_devices = 5000
    }
    factory-2 = {
      active          = false
      csr_pem         = "-----BEGIN CERTIFICATE REQUEST-----\nMIICVTCCAT0CAQAwEDEOMAwGA1UEAwwFY2xhaW0=\n-----END CERTIFICATE REQUEST-----\n"
      maximum_devices = 5000
    }
  }
  cloudtrail_multi_region = true
  deletion_protection     = true
  denial_reasons          = ["already_provisioned", "unknown_serial"]
  device_types = {
    gateway = {
      description     = "Edge gateway"
      group_name      = "gateway-devices"
      policy          = "{\"Version\": \"2012-10-17\", \"Statement\": []}"
      policy_name     = "fleetgate-gateway"
      thing_type_name = "gateway"
    }
    temperature-sensor = {
      description     = "Temperature sensor"
      group_name      = "temperature-sensor-devices"
      policy          = "{\"Version\": \"2012-10-17\", \"Statement\": []}"
      policy_name     = "fleetgate-temperature-sensor"
      thing_type_name = "temperature-sensor"
    }
  }
  endpoint_url = ""
  environment  = "local"
  functions = {
    audit             = { package = "build/local/audit.zip", source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
    census            = { package = "build/local/census.zip", source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
    onboarding        = { package = "build/local/onboarding.zip", source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
    provisioning_hook = { package = "build/local/provisioning_hook.zip", source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
  }
  # The digests of the files as they lie here, so that the tests hold whatever the catalogue says today. Tests run in this
  # folder: ".." is the root of the repository.
  input_digests = {
    for file in setunion(
      fileset("..", "catalogue/device_types.yaml"),
      fileset("..", "lambda_src/**/*.py"),
      fileset("..", "policy_templates/*.json.j2"),
      fileset("..", "terraform/envs/local.yaml"),
    ) : file => filesha256("../${file}")
  }
  iot_log_level               = "INFO"
  lease_seconds               = 300
  log_retention_days          = 30
  manage_alarms               = true
  manage_cloudtrail           = true
  manage_device_defender      = true
  manage_event_configurations = true
  parent_group_name           = "provisioned-devices"
  prefix                      = "fleetgate"
  quotas_per_second           = { create_certificate_from_csr = 20, create_keys = 10, register_thing = 10 }
  region                      = "eu-west-1"
  stuck_after_seconds         = { provisioning = 3600, provisioned = 86400 }
  tags                        = { Project = "IoTProvisioning", Stack = "fleetgate" }
  template_body               = "{\"Parameters\": {}, \"Resources\": {}}"
  template_name               = "fleetgate-fleet"
  thing_name_prefixes         = ["gateway-", "temperature-sensor-"]
}

run "a_fresh_build_is_wired_into_one_stack" {
  command = plan

  assert {
    condition = {
      audit_table_name         = output.audit_table_name
      claim_policy_name        = output.claim_policy_name
      hook_function_name       = output.hook_function_name
      onboarding_function_name = output.onboarding_function_name
      parent_group_name        = output.parent_group_name
      table_name               = output.table_name
      template_name            = output.template_name
      } == {
      audit_table_name         = "fleetgate-audit"
      claim_policy_name        = "fleetgate-claim"
      hook_function_name       = "fleetgate-provisioning-hook"
      onboarding_function_name = "fleetgate-onboarding"
      parent_group_name        = "provisioned-devices"
      table_name               = "fleetgate-device-registry"
      template_name            = "fleetgate-fleet"
    }
    error_message = "These names are what the tools look for."
  }

  assert {
    condition     = output.template_arn == "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleetgate-fleet"
    error_message = "The template's ARN must be put out."
  }

  assert {
    condition     = output.device_group_names == { gateway = "gateway-devices", temperature-sensor = "temperature-sensor-devices" }
    error_message = "Every device type must have its group."
  }

  assert {
    condition     = output.device_policy_names == { gateway = "fleetgate-gateway", temperature-sensor = "fleetgate-temperature-sensor" }
    error_message = "Every device type must have its policy."
  }

  assert {
    condition     = startswith(output.dead_letter_queue_url, "https://")
    error_message = "The dead-letter queue's URL must be put out."
  }
}

run "claims_stand_side_by_side_and_are_put_out_by_id_only" {
  command = plan

  assert {
    condition     = toset(keys(output.claim_certificate_ids)) == toset(["factory-1", "factory-2"])
    error_message = "Each claim must have its certificate, the retired one too."
  }

  assert {
    condition     = alltrue([for id in values(output.claim_certificate_ids) : can(regex("^[0-9a-f]{64}$", id))])
    error_message = "No PEM may be put out."
  }
}

run "only_the_claims_that_are_active_are_let_in" {
  command = plan

  override_resource {
    override_during = plan
    target          = module.claim["factory-2"].aws_iot_certificate.this
    values = {
      arn = "arn:aws:iot:eu-west-1:123456789012:cert/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
      id  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }
  }

  assert {
    condition     = local.active_claim_certificate_ids == [output.claim_certificate_ids["factory-1"]]
    error_message = "The hook must know the active claim."
  }

  assert {
    condition     = !contains(local.active_claim_certificate_ids, output.claim_certificate_ids["factory-2"])
    error_message = "The hook must not know the retired claim, though its certificate stays."
  }
}

run "on_aws_the_onboarding_function_talks_to_the_accounts_data_plane" {
  command = plan

  assert {
    condition     = local.iot_data_endpoint_url == "https://a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com"
    error_message = "Without endpoint_url the address must be the account's own."
  }
}

run "on_the_embedded_cloud_it_talks_to_that" {
  command = plan

  variables {
    endpoint_url = "http://127.0.0.1:4566"
  }

  assert {
    condition     = local.iot_data_endpoint_url == "http://127.0.0.1:4566"
    error_message = "With endpoint_url the address must be that."
  }
}

run "the_event_configurations_are_the_stacks_own_only_if_it_says_so" {
  command = plan

  variables {
    manage_event_configurations = false
  }

  assert {
    condition     = length(module.event_configurations) == 0
    error_message = "Two stacks in one account would fight over them."
  }
}

run "a_trail_and_audits_are_the_stacks_own_only_if_it_says_so" {
  command = plan

  variables {
    manage_cloudtrail      = false
    manage_device_defender = false
  }

  assert {
    condition     = length(module.cloudtrail) == 0 && length(module.device_defender) == 0 && output.cloudtrail_bucket_name == null
    error_message = "Organisations often have a trail; the audits are one configuration for account and Region."
  }
}

# --- refusals ---

run "a_build_older_than_a_source_is_refused" {
  command = plan

  variables {
    input_digests = {
      for file in setunion(
        fileset("..", "catalogue/device_types.yaml"),
        fileset("..", "lambda_src/**/*.py"),
        fileset("..", "policy_templates/*.json.j2"),
        fileset("..", "terraform/envs/local.yaml"),
        ) : file => (
        file == "catalogue/device_types.yaml"
        ? "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        : filesha256("../${file}")
      )
    }
  }

  expect_failures = [var.input_digests]
}

run "a_build_that_knows_a_source_which_is_gone_is_refused" {
  command = plan

  variables {
    input_digests = merge(
      {
        for file in setunion(
          fileset("..", "catalogue/device_types.yaml"),
          fileset("..", "lambda_src/**/*.py"),
          fileset("..", "policy_templates/*.json.j2"),
          fileset("..", "terraform/envs/local.yaml"),
        ) : file => filesha256("../${file}")
      },
      { "policy_templates/gone.json.j2" = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    )
  }

  expect_failures = [var.input_digests]
}

run "a_build_that_knows_no_source_is_refused" {
  command = plan

  variables {
    input_digests = {}
  }

  expect_failures = [var.input_digests]
}

run "a_function_too_few_is_refused" {
  command = plan

  variables {
    functions = {
      onboarding = { package = "build/local/onboarding.zip", source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
    }
  }

  expect_failures = [var.functions]
}

run "an_account_of_eleven_digits_is_refused" {
  command = plan

  variables {
    account_id = "12345678901"
  }

  expect_failures = [var.account_id]
}

run "a_region_that_is_a_zone_is_refused" {
  command = plan

  variables {
    region = "eu-west-1a"
  }

  expect_failures = [var.region]
}

run "an_endpoint_with_a_path_is_refused" {
  command = plan

  variables {
    endpoint_url = "http://127.0.0.1:4566/iot"
  }

  expect_failures = [var.endpoint_url]
}

run "a_prefix_too_long_for_a_template_is_refused" {
  command = plan

  variables {
    prefix = format("a%030d", 0)
  }

  expect_failures = [var.prefix]
}

run "an_environment_that_climbs_out_of_its_folder_is_refused" {
  command = plan

  variables {
    environment = "../local"
  }

  expect_failures = [var.environment]
}

run "a_tag_that_aws_keeps_for_itself_is_refused" {
  command = plan

  variables {
    tags = { "aws:project" = "IoTProvisioning", Stack = "fleetgate" }
  }

  expect_failures = [var.tags]
}

run "a_stack_without_the_tag_that_tells_its_keys_is_refused" {
  command = plan

  variables {
    tags = { Project = "IoTProvisioning", Stack = "pumps" }
  }

  expect_failures = [var.tags]
}
