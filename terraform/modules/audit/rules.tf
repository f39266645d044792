locals {
  # A rule's name takes no hyphen.
  _rule_prefix = replace(var.prefix, "-", "_")

  # Registry events are those of the whole account and Region. What another stack or team names is theirs, and would stay here for
  # good. What stands between the bars are names without a character that means something to a regular expression; AWS asks for
  # the brackets around them. Whole names, so that pumps-test is not taken for pumps; things alone have nothing but a beginning.
  _things   = "'^(${join("|", sort(var.thing_name_prefixes))})'"
  _groups   = "'^(${join("|", sort(var.group_names))})$'"
  _policies = "'^(${join("|", sort(var.policy_names))})$'"
  _types    = "'^(${join("|", sort(var.thing_type_names))})$'"

  # What each event is about, by its place in the topic: not every payload names it. AWS documents what these payloads hold:
  # names, ids, and a thing's attributes, which the hook has checked and which can hold no PEM (no space, no plus sign).
  # Of two names one that is ours is enough: a stranger in our group is something to know.
  _documented = {
    thing = {
      topic = "thing/+/+", subject = "topic(4)", about = "a thing was created, changed or deleted"
      ours  = "regexp_matches(topic(4), ${local._things})"
    }
    thing_group = {
      topic = "thingGroup/+/+", subject = "topic(4)", about = "a thing group was created, changed or deleted"
      ours  = "regexp_matches(topic(4), ${local._groups})"
    }
    thing_group_hierarchy = {
      topic = "thingGroupHierarchy/thingGroup/+/childThingGroup/+/+", subject = "topic(7)", about = "a thing group was put into another one, or taken out"
      ours  = "regexp_matches(topic(5), ${local._groups}) OR regexp_matches(topic(7), ${local._groups})"
    }
    thing_group_membership = {
      topic = "thingGroupMembership/thingGroup/+/thing/+/+", subject = "topic(7)", about = "a thing joined or left a thing group"
      ours  = "regexp_matches(topic(5), ${local._groups}) OR regexp_matches(topic(7), ${local._things})"
    }
    thing_type = {
      topic = "thingType/+/+", subject = "topic(4)", about = "a thing type was created, deprecated or deleted"
      ours  = "regexp_matches(topic(4), ${local._types})"
    }
    thing_type_association = {
      topic = "thingTypeAssociation/thing/+/thingType/+/+", subject = "topic(5)", about = "a thing was given a thing type, or it was taken away"
      ours  = "regexp_matches(topic(5), ${local._things}) OR regexp_matches(topic(7), ${local._types})"
    }
  }

  # The event types CERTIFICATE and POLICY can be switched on, but AWS documents neither topic nor payload for them. These topics
  # are by analogy with the others; where AWS publishes elsewhere, the rules match nothing, and CloudTrail has the calls.
  # Nobody knows what such a payload holds, so only what names and dates it is kept: a body of a certificate or policy is not.
  # A certificate's name is its id, which does not say whose it is: these are the whole account's.
  _named = "eventType, eventId, operation, timestamp, accountId"
  _assumed = {
    certificate_assumed = { topic = "certificate/+/+", subject = "topic(4)", about = "a certificate was created, changed or deleted", columns = local._named }
    policy_assumed = {
      topic = "policy/+/+", subject = "topic(4)", about = "a policy was created, changed or deleted", columns = local._named
      ours  = "regexp_matches(topic(4), ${local._policies})"
    }
  }

  # A certificate of a registered CA came with a device: the whole account's, again. The one event that does not say what it is.
  _of_a_ca = {
    certificate = {
      topic   = "certificates/registered/+"
      subject = "certificateId"
      about   = "a certificate of a CA was registered"
      columns = "certificateId, caCertificateId, certificateStatus, certificateRegistrationTimestamp, timestamp, awsAccountId, 'CERTIFICATE_EVENT' AS eventType, 'REGISTERED' AS operation"
      id      = "timestamp + '#' + certificateId AS id"
    }
  }

  # Events come twice at times: the same one has the same id, so that it replaces itself. Two kinds of event may share an eventId.
  _id = "timestamp + '#' + eventId + '#' + eventType AS id"

  rules = {
    for name, rule in merge(local._documented, local._assumed, local._of_a_ca) : name => {
      name        = "${local._rule_prefix}_audit_${name}"
      description = "For the audit trail: ${rule.about}."
      sql         = "SELECT ${try(rule.columns, "*")}, ${rule.subject} AS subject, ${try(rule.id, local._id)} FROM '$aws/events/${rule.topic}'${try(" WHERE ${rule.ours}", "")}"
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

  dynamodbv2 {
    role_arn = aws_iam_role.rules.arn

    put_item {
      table_name = aws_dynamodb_table.this.name
    }
  }

  cloudwatch_logs {
    log_group_name = aws_cloudwatch_log_group.events.name
    role_arn       = aws_iam_role.rules.arn
  }

  error_action {
    sqs {
      queue_url  = aws_sqs_queue.dead_letter.url
      role_arn   = aws_iam_role.rules.arn
      use_base64 = false
    }
  }

  depends_on = [aws_iam_role_policy.rules]
}

resource "aws_cloudwatch_log_group" "events" {
  name              = "/fleetgate/${var.prefix}/registry-events"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}
