mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  name   = "fleetgate-claim"
  policy = "{\"Version\": \"2012-10-17\", \"Statement\": []}"
}

run "the_policy_is_the_rendered_one" {
  command = plan

  assert {
    condition     = aws_iot_policy.this.name == "fleetgate-claim" && output.name == "fleetgate-claim"
    error_message = "The policy and the output must carry the name that was asked for."
  }

  assert {
    condition     = jsondecode(aws_iot_policy.this.policy) == jsondecode(var.policy)
    error_message = "The policy must be the rendered one, unchanged."
  }
}

run "a_name_with_a_slash_is_refused" {
  command = plan

  variables {
    name = "fleetgate/claim"
  }

  expect_failures = [var.name]
}

run "a_policy_that_is_not_json_is_refused" {
  command = plan

  variables {
    policy = "{'Statement': []}"
  }

  expect_failures = [var.policy]
}

run "a_policy_of_2049_characters_is_refused" {
  command = plan

  variables {
    policy = format("{\"Statement\":[\"%02031d\"]}", 0)
  }

  expect_failures = [var.policy]
}
