mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  prefix = "fleet-gate"
}

run "the_key_rotates_and_has_a_name" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30 && aws_kms_alias.this.name == "alias/fleet-gate"
    error_message = "The key must rotate, be saveable for 30 days and be found by its alias."
  }
}

run "services_use_the_key_for_this_account_only" {
  command = plan

  assert {
    condition = {
      for statement in jsondecode(aws_kms_key.this.policy).Statement : statement.Sid => statement.Condition if can(statement.Condition)
      } == {
      LogGroupsOfThisAccount = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:eu-west-1:123456789012:*" } }
      AlarmsOfThisAccount    = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }
    error_message = "Whatever principal is a service must be tied to this account."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_kms_key.this.policy).Statement : statement.Sid
      if !can(statement.Condition) && statement.Principal != { AWS = "arn:aws:iam::123456789012:root" }
    ] == []
    error_message = "Only the account itself may use the key without a condition."
  }
}

run "a_window_that_kms_does_not_know_is_refused" {
  command = plan

  variables {
    deletion_window_days = 1
  }

  expect_failures = [var.deletion_window_days]
}

run "a_prefix_that_is_no_name_is_refused" {
  command = plan

  variables {
    prefix = "Fleet Gate"
  }

  expect_failures = [var.prefix]
}
