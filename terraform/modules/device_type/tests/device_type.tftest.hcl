mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  description       = "Battery powered temperature sensor"
  group_name        = "temperature-sensor-devices"
  parent_group_name = "provisioned-devices"
  policy            = "{\"Version\": \"2012-10-17\", \"Statement\": []}"
  policy_name       = "fleetgate-temperature-sensor"
  thing_type_name   = "temperature-sensor"
}

run "a_type_is_a_thing_type_a_group_under_the_parent_and_a_policy" {
  command = plan

  assert {
    condition     = aws_iot_thing_type.this.name == "temperature-sensor"
    error_message = "The thing type must have the name that the template uses."
  }

  assert {
    condition     = aws_iot_thing_group.this.name == "temperature-sensor-devices"
    error_message = "The group must have the name that the hook answers."
  }

  assert {
    condition     = aws_iot_thing_group.this.parent_group_name == "provisioned-devices"
    error_message = "The group must be a child of the parent group."
  }

  assert {
    condition     = aws_iot_policy.this.name == "fleetgate-temperature-sensor"
    error_message = "The policy must have the name that the hook answers."
  }

  assert {
    condition     = jsondecode(aws_iot_policy.this.policy) == jsondecode(var.policy)
    error_message = "The policy must be the rendered one, unchanged."
  }
}

run "type_and_group_are_described_so_that_the_second_plan_is_empty" {
  command = plan

  assert {
    condition = [
      one(aws_iot_thing_type.this.properties).description,
      one(aws_iot_thing_group.this.properties).description,
    ] == [var.description, var.description]
    error_message = "Both must carry the description."
  }

  assert {
    condition = one(one(aws_iot_thing_group.this.properties).attribute_payload).attributes == tomap({
      deviceType = "temperature-sensor"
      level      = "deviceType"
    })
    error_message = "A group without attributes never plans clean."
  }
}

run "three_attributes_are_searchable_by_default" {
  command = plan

  assert {
    condition     = one(aws_iot_thing_type.this.properties).searchable_attributes == toset(["firmwareVersion", "location", "manufacturer"])
    error_message = "Firmware version, location and manufacturer must be searchable."
  }
}

run "a_policy_of_exactly_2048_characters_is_accepted_whatever_its_white_space" {
  command = plan

  variables {
    policy = format("{\n  \"Statement\": [\"%02030d\"]\n}", 0)
  }

  assert {
    condition     = length(replace(var.policy, "/\\s/", "")) == 2048
    error_message = "This test must sit exactly on the limit."
  }
}

run "a_policy_of_2049_characters_is_refused" {
  command = plan

  variables {
    policy = format("{\"Statement\":[\"%02031d\"]}", 0)
  }

  expect_failures = [var.policy]
}

run "a_policy_that_is_not_json_is_refused" {
  command = plan

  variables {
    policy = "{'Statement': []}"
  }

  expect_failures = [var.policy]
}

run "a_policy_name_with_a_slash_is_refused" {
  command = plan

  variables {
    policy_name = "fleetgate/sensor"
  }

  expect_failures = [var.policy_name]
}

run "a_thing_type_name_with_a_space_is_refused" {
  command = plan

  variables {
    thing_type_name = "temperature sensor"
  }

  expect_failures = [var.thing_type_name]
}

run "a_group_name_longer_than_128_characters_is_refused" {
  command = plan

  variables {
    group_name = format("%0129d", 0)
  }

  expect_failures = [var.group_name]
}

run "a_parent_group_name_with_a_dot_is_refused" {
  command = plan

  variables {
    parent_group_name = "provisioned.devices"
  }

  expect_failures = [var.parent_group_name]
}

run "an_empty_description_is_refused" {
  command = plan

  variables {
    description = ""
  }

  expect_failures = [var.description]
}

run "a_fourth_searchable_attribute_is_refused" {
  command = plan

  variables {
    searchable_attributes = ["a", "b", "c", "d"]
  }

  expect_failures = [var.searchable_attributes]
}

run "a_searchable_attribute_with_a_space_is_refused" {
  command = plan

  variables {
    searchable_attributes = ["firmware version"]
  }

  expect_failures = [var.searchable_attributes]
}
