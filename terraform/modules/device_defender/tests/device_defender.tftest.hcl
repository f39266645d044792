mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:fleet-gate-alarms"
  kms_key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  prefix          = "fleet-gate"
}

run "every_check_is_on_and_the_age_of_certificates_too" {
  command = plan

  assert {
    condition = alltrue([
      for check in values(jsondecode(aws_cloudformation_stack.this.template_body).Resources.Configuration.Properties.AuditCheckConfigurations) : check.Enabled
    ]) && length(jsondecode(aws_cloudformation_stack.this.template_body).Resources.Configuration.Properties.AuditCheckConfigurations) == 17
    error_message = "All 17 checks must be on."
  }

  assert {
    condition     = jsondecode(aws_cloudformation_stack.this.template_body).Resources.Configuration.Properties.AuditCheckConfigurations.DeviceCertificateAgeCheck == { Enabled = true, Configuration = { CertAgeThresholdInDays = "365" } }
    error_message = "The check of the certificates' age is off by default, and its threshold is a text."
  }

  assert {
    condition     = toset(jsondecode(aws_cloudformation_stack.this.template_body).Resources.Schedule.Properties.TargetCheckNames) == toset(keys(local.checks))
    error_message = "The audit must run every check."
  }
}

run "the_audit_is_weekly_and_comes_after_the_configuration" {
  command = plan

  assert {
    condition = (
      jsondecode(aws_cloudformation_stack.this.template_body).Resources.Schedule.DependsOn == ["Configuration"]
      && jsondecode(aws_cloudformation_stack.this.template_body).Resources.Schedule.Properties.Frequency == "WEEKLY"
      && jsondecode(aws_cloudformation_stack.this.template_body).Resources.Schedule.Properties.DayOfWeek == "MON"
      && output.scheduled_audit_name == "fleet-gate-weekly"
    )
    error_message = "A check that is not switched on cannot be asked for."
  }
}

run "findings_go_to_the_alarms_topic" {
  command = plan

  assert {
    condition = jsondecode(aws_cloudformation_stack.this.template_body).Resources.Configuration.Properties.AuditNotificationTargetConfigurations == {
      Sns = { Enabled = true, RoleArn = aws_iam_role.notify.arn, TargetArn = "arn:aws:sns:eu-west-1:123456789012:fleet-gate-alarms" }
    }
    error_message = "Somebody must hear of what an audit finds."
  }

  assert {
    condition = { for s in jsondecode(aws_iam_role_policy.notify.policy).Statement : s.Sid => [s.Action, s.Resource] } == {
      TellTheAlarmsTopic  = [["sns:Publish"], ["arn:aws:sns:eu-west-1:123456789012:fleet-gate-alarms"]]
      EncryptForThatTopic = [["kms:Decrypt", "kms:GenerateDataKey"], ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"]]
    }
    error_message = "The role tells the one topic, and nothing else."
  }
}

run "the_auditor_looks_and_does_nothing" {
  command = plan

  assert {
    condition = alltrue([
      for action in flatten([for s in jsondecode(aws_iam_role_policy.audit.policy).Statement : s.Action]) :
      can(regex("^(iot|iam|cognito-identity):(Get|List|Describe|GenerateServiceLastAccessedDetails)", action))
    ])
    error_message = "An audit changes nothing."
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.audit.policy).Statement : s.Sid if s.Resource == "*"] == ["ListTheAccount"]
    error_message = "Only actions that take no resource may stand on *."
  }

  assert {
    condition = alltrue([
      for role in [aws_iam_role.audit, aws_iam_role.notify] :
      jsondecode(role.assume_role_policy).Statement[0].Condition == {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnLike      = { "aws:SourceArn" = "arn:aws:iot:eu-west-1:123456789012:*" }
      }
    ])
    error_message = "Only AWS IoT of this account may assume the roles."
  }
}

run "an_age_that_device_defender_does_not_know_is_refused" {
  command = plan

  variables {
    certificate_age_days = 7
  }

  expect_failures = [var.certificate_age_days]
}

run "a_day_that_is_none_is_refused" {
  command = plan

  variables {
    day_of_week = "Monday"
  }

  expect_failures = [var.day_of_week]
}

run "a_topics_name_is_refused_where_its_arn_belongs" {
  command = plan

  variables {
    alarm_topic_arn = "fleetgate-alarms"
  }

  expect_failures = [var.alarm_topic_arn]
}

run "a_keys_alias_is_refused_where_its_arn_belongs" {
  command = plan

  variables {
    kms_key_arn = "alias/fleetgate"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_prefix_that_is_no_name_is_refused" {
  command = plan

  variables {
    prefix = "Fleet Gate"
  }

  expect_failures = [var.prefix]
}
