locals {
  _all_events = [
    "CA_CERTIFICATE",
    "CERTIFICATE",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "THING",
    "THING_GROUP",
    "THING_GROUP_HIERARCHY",
    "THING_GROUP_MEMBERSHIP",
    "THING_TYPE",
    "THING_TYPE_ASSOCIATION",
  ]

  # Always all eleven keys: a key left out is read back from AWS and planned away on every run.
  event_configurations = { for event in local._all_events : event => contains(var.enabled_events, event) }
}

resource "aws_iot_event_configurations" "this" {
  event_configurations = local.event_configurations
}
