locals {
  account_id = data.aws_caller_identity.current.account_id
  # .id, because .name is deprecated from version 6 of the provider and .region does not exist before it.
  _region    = data.aws_region.current.id
  iot_prefix = "arn:${data.aws_partition.current.partition}:iot:${local._region}:${local.account_id}"

  function_name = "${var.prefix}-onboarding"

  # A rule's name takes no hyphen.
  _rule_prefix = replace(var.prefix, "-", "_")

  # Single quotes: in double quotes the topic would be a string constant, and the rule would match nothing.
  rules = {
    thing_created = {
      name        = "${local._rule_prefix}_thing_created"
      description = "A thing was registered: give it its first shadow and note that it is provisioned."
      sql         = "SELECT * FROM '$aws/events/thing/+/created'"
    }
    # Claims connect too. Leaving them out saves calls and nothing else: the function goes by certificate and thing name.
    # regexp_matches rather than startswith, which the embedded cloud does not evaluate; the prefix has no special character.
    device_connected = {
      name        = "${local._rule_prefix}_device_connected"
      description = "A client connected: note the first time that a device does so with its own certificate."
      sql         = "SELECT * FROM '$aws/events/presence/connected/+' WHERE NOT regexp_matches(clientId, '^${var.claim_client_id_prefix}')"
    }
  }
}

resource "aws_iot_topic_rule" "this" {
  for_each = local.rules

  name        = each.value.name
  description = each.value.description
  enabled     = true
  sql         = each.value.sql
  sql_version = "2016-03-23"

  lambda {
    function_arn = aws_lambda_function.this.arn
  }

  # Only a call that never reached Lambda ends here; what the function could not do, Lambda puts into the same queue.
  error_action {
    sqs {
      queue_url  = aws_sqs_queue.dead_letter.url
      role_arn   = aws_iam_role.rules.arn
      use_base64 = false
    }
  }

  depends_on = [
    aws_iam_role_policy.rules,
    aws_lambda_permission.rules,
  ]
}
