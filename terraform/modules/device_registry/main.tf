resource "aws_dynamodb_table" "this" {
  # checkov:skip=CKV_AWS_119:Under the account's aws/dynamodb key unless kms_key_arn says otherwise; then hook, functions and people need that key, too
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "serialNumber"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "serialNumber"
    type = "S"
  }

  attribute {
    name = "deviceType"
    type = "S"
  }

  # On demand: capacity on the index would make DynamoDB refuse the whole table.
  global_secondary_index {
    name            = "DeviceTypeIndex"
    hash_key        = "deviceType"
    projection_type = "ALL"
  }

  point_in_time_recovery {
    enabled = true
  }

  # Said out loud, so that the key is the account's (visible in CloudTrail) and not DynamoDB's own.
  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }
}
