resource "aws_iot_thing_group" "this" {
  name = var.name

  # Not decoration: a group without properties or without attributes is read back with empty ones, and then no plan is
  # ever empty again.
  properties {
    description = var.description

    attribute_payload {
      attributes = { level = "fleet" }
    }
  }
}
