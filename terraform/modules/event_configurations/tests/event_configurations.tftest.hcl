mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

run "all_eleven_events_are_declared_and_on_by_default" {
  command = plan

  assert {
    condition = aws_iot_event_configurations.this.event_configurations == tomap({
      CA_CERTIFICATE         = true
      CERTIFICATE            = true
      JOB                    = true
      JOB_EXECUTION          = true
      POLICY                 = true
      THING                  = true
      THING_GROUP            = true
      THING_GROUP_HIERARCHY  = true
      THING_GROUP_MEMBERSHIP = true
      THING_TYPE             = true
      THING_TYPE_ASSOCIATION = true
    })
    error_message = "All eleven keys must be there, each of them on."
  }
}

run "an_event_left_out_is_declared_as_off" {
  command = plan

  variables {
    enabled_events = ["THING"]
  }

  assert {
    condition     = length(aws_iot_event_configurations.this.event_configurations) == 11
    error_message = "All eleven keys must be there, whatever is switched on."
  }

  assert {
    condition     = output.enabled_events == ["THING"]
    error_message = "Only THING must be on."
  }
}

run "an_unknown_event_is_refused" {
  command = plan

  variables {
    enabled_events = ["THING", "SHADOW"]
  }

  expect_failures = [var.enabled_events]
}

run "switching_thing_events_off_is_refused" {
  command = plan

  variables {
    enabled_events = ["JOB"]
  }

  expect_failures = [var.enabled_events]
}
