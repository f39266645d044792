# Entries of everybody: of the rules and the function here, of the onboarding function, and of people's commands.
resource "aws_dynamodb_table" "this" {
  # checkov:skip=CKV_AWS_119:Under the account's aws/dynamodb key; under one of one's own every writer, AWS IoT's rules too, would need the right to use it
  name                        = "${var.prefix}-audit"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "subject"
  range_key                   = "id"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "subject"
    type = "S"
  }

  # Epoch milliseconds come first in it, so that entries sort by time.
  attribute {
    name = "id"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }
}

# Append-only for everybody, administrators too: who wants to rewrite history has to take this away first, which CloudTrail
# notes. That a put replaces an entry of the same id, no policy can forbid; point-in-time recovery has what was there.
resource "aws_dynamodb_resource_policy" "this" {
  resource_arn = aws_dynamodb_table.this.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NothingIsChangedOrRemoved"
      Effect    = "Deny"
      Principal = "*"
      Action = [
        "dynamodb:BatchWriteItem",
        "dynamodb:DeleteItem",
        "dynamodb:PartiQLDelete",
        "dynamodb:PartiQLUpdate",
        "dynamodb:UpdateItem",
      ]
      Resource = aws_dynamodb_table.this.arn
    }]
  })
}
