mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  name = "fleetgate-device-registry"
}

run "the_key_is_the_serial_number" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.this.hash_key == "serialNumber"
    error_message = "A device is found by its serial number and by nothing else."
  }

  assert {
    condition     = aws_dynamodb_table.this.range_key == null
    error_message = "With a range key one serial number could have two rows, and two devices."
  }
}

run "devices_are_listed_by_type_through_an_index_with_all_attributes" {
  command = plan

  assert {
    condition = [for i in aws_dynamodb_table.this.global_secondary_index : [i.name, i.hash_key, i.projection_type]] == [
      ["DeviceTypeIndex", "deviceType", "ALL"],
    ]
    error_message = "There must be exactly one index, DeviceTypeIndex on deviceType, projecting ALL."
  }
}

run "the_table_is_on_demand_and_declares_no_capacity" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.this.billing_mode == "PAY_PER_REQUEST"
    error_message = "The table must be on demand."
  }
}

run "the_table_is_encrypted_recoverable_and_protected_by_default" {
  command = plan

  assert {
    condition     = one(aws_dynamodb_table.this.server_side_encryption).enabled
    error_message = "Encryption with a KMS key must be on."
  }

  assert {
    condition     = one(aws_dynamodb_table.this.point_in_time_recovery).enabled
    error_message = "Point-in-time recovery must be on."
  }

  assert {
    condition     = aws_dynamodb_table.this.deletion_protection_enabled
    error_message = "Deletion protection must be on unless somebody turns it off."
  }
}

run "deletion_protection_can_be_turned_off" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = !aws_dynamodb_table.this.deletion_protection_enabled
    error_message = "deletion_protection = false must reach the table."
  }
}

run "a_customer_managed_key_reaches_the_table" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition     = one(aws_dynamodb_table.this.server_side_encryption).kms_key_arn == var.kms_key_arn
    error_message = "The key must be the one that was asked for."
  }
}

run "an_alias_is_refused_as_a_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/fleet"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_name_with_a_slash_is_refused" {
  command = plan

  variables {
    name = "fleetgate/registry"
  }

  expect_failures = [var.name]
}
