resource "aws_iot_thing_type" "this" {
  name = var.thing_type_name

  properties {
    description           = var.description
    searchable_attributes = var.searchable_attributes
  }
}

resource "aws_iot_thing_group" "this" {
  name              = var.group_name
  parent_group_name = var.parent_group_name

  # Not decoration: a group without properties or without attributes is read back with empty ones, and then no plan is
  # ever empty again.
  properties {
    description = var.description

    attribute_payload {
      attributes = {
        deviceType = var.thing_type_name
        level      = "deviceType"
      }
    }
  }
}

# Destroying it fails while a device's certificate still holds it: the devices have to be drained first.
resource "aws_iot_policy" "this" {
  name   = var.policy_name
  policy = var.policy
}
