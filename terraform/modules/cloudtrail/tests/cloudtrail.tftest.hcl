mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  prefix = "fleet-gate"
}

run "the_trail_is_validated_encrypted_and_sees_all_regions" {
  command = plan

  assert {
    condition = (
      aws_cloudtrail.this.enable_log_file_validation
      && aws_cloudtrail.this.kms_key_id == aws_kms_key.this.arn
      && aws_cloudtrail.this.is_multi_region_trail
      && aws_cloudtrail.this.include_global_service_events
      && aws_cloudtrail.this.s3_bucket_name == aws_s3_bucket.this.id
      && aws_kms_key.this.enable_key_rotation
      && aws_kms_alias.this.name == "alias/fleet-gate/calls"
      && aws_kms_alias.this.target_key_id == aws_kms_key.this.key_id
    )
    error_message = "The trail must be validated, encrypted, and have all Regions."
  }

  assert {
    condition     = local.trail_arn == "arn:aws:cloudtrail:eu-west-1:123456789012:trail/${aws_cloudtrail.this.name}"
    error_message = "Bucket and key let in this ARN: it must be the trail's."
  }
}

run "it_has_no_data_events" {
  command = plan

  assert {
    condition     = length(aws_cloudtrail.this.event_selector) == 0 && length(aws_cloudtrail.this.advanced_event_selector) == 0
    error_message = "Data events cost by the call, and nobody needs them here."
  }
}

run "it_may_be_of_one_region" {
  command = plan

  variables {
    multi_region = false
  }

  assert {
    condition     = !aws_cloudtrail.this.is_multi_region_trail && aws_cloudtrail.this.include_global_service_events
    error_message = "A trail of one Region still has IAM's calls."
  }
}

run "the_bucket_is_nobodys_but_the_trails" {
  command = plan

  assert {
    condition = (
      aws_s3_bucket_public_access_block.this.block_public_acls
      && aws_s3_bucket_public_access_block.this.block_public_policy
      && aws_s3_bucket_public_access_block.this.ignore_public_acls
      && aws_s3_bucket_public_access_block.this.restrict_public_buckets
      && one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced"
    )
    error_message = "Public access must be blocked in all four ways, and no ACL may count."
  }

  assert {
    condition = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : [s.Sid, s.Effect, s.Action, s.Condition]] == [
      ["NothingWithoutTls", "Deny", "s3:*", { Bool = { "aws:SecureTransport" = "false" } }],
      ["ThisTrailLooksAtTheBucket", "Allow", "s3:GetBucketAcl", { StringEquals = { "aws:SourceArn" = local.trail_arn } }],
      ["ThisTrailWrites", "Allow", "s3:PutObject", { StringEquals = { "aws:SourceArn" = local.trail_arn, "s3:x-amz-acl" = "bucket-owner-full-control" } }],
    ]
    error_message = "Only this trail may write, and nobody without TLS do anything."
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[2].Resource == "${aws_s3_bucket.this.arn}/AWSLogs/123456789012/*"
    error_message = "The trail writes this account's log files."
  }
}

run "log_files_are_encrypted_and_versioned_and_go_when_their_time_is_over" {
  command = plan

  assert {
    condition = (
      one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).kms_master_key_id == aws_kms_key.this.arn
      && one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
      && one(one(aws_s3_bucket_lifecycle_configuration.this.rule).expiration).days == 400
      && one(one(aws_s3_bucket_lifecycle_configuration.this.rule).noncurrent_version_expiration).noncurrent_days == 400
    )
    error_message = "Log files must be encrypted with the key, versioned, and expire."
  }
}

run "only_this_trail_uses_the_key" {
  command = plan

  assert {
    condition = alltrue([
      for s in jsondecode(aws_kms_key.this.policy).Statement : s.Condition.StringEquals["aws:SourceArn"] == local.trail_arn
      if try(s.Principal.Service, "") == "cloudtrail.amazonaws.com"
    ])
    error_message = "A trail of somebody else's must not use the key."
  }
}

run "the_bucket_goes_with_its_files_only_if_that_was_asked_for" {
  command = plan

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "By default nobody may destroy log files along the way."
  }
}

run "the_longest_prefix_makes_a_name_that_s3_takes" {
  command = plan

  variables {
    prefix = format("a%029d", 0)
  }

  assert {
    condition     = length(aws_s3_bucket.this.bucket) <= 63 - (length("ap-southeast-1") - length("eu-west-1"))
    error_message = "A bucket's name has at most 63 characters."
  }
}

run "a_retention_shorter_than_cloudtrails_own_is_refused" {
  command = plan

  variables {
    retention_days = 30
  }

  expect_failures = [var.retention_days]
}

run "a_prefix_that_is_no_name_is_refused" {
  command = plan

  variables {
    prefix = "Fleet Gate"
  }

  expect_failures = [var.prefix]
}
