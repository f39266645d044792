mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  name = "provisioned-devices"
}

run "the_group_has_a_name_a_description_and_no_parent" {
  command = plan

  assert {
    condition     = aws_iot_thing_group.this.name == "provisioned-devices" && output.name == "provisioned-devices"
    error_message = "The group and the output must carry the name that was asked for."
  }

  assert {
    condition     = length(one(aws_iot_thing_group.this.properties).description) > 0
    error_message = "Without a description the group never plans clean."
  }

  assert {
    condition     = one(one(aws_iot_thing_group.this.properties).attribute_payload).attributes == tomap({ level = "fleet" })
    error_message = "A group without attributes never plans clean."
  }

  assert {
    condition     = aws_iot_thing_group.this.parent_group_name == null
    error_message = "The parent group is the root of its hierarchy."
  }
}

run "a_name_with_a_dot_is_refused" {
  command = plan

  variables {
    name = "provisioned.devices"
  }

  expect_failures = [var.name]
}

run "an_empty_description_is_refused" {
  command = plan

  variables {
    description = ""
  }

  expect_failures = [var.description]
}
