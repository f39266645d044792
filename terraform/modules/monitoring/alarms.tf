locals {
  # AWS emits 0 or 1 on every call: Sum is what failed, SampleCount what was tried [AWS IoT metrics and dimensions].
  failure_rates = {
    register-thing-failed = {
      metric     = "RegisterThingFailed"
      dimensions = { TemplateName = var.template_name }
      meaning    = "Registrations by the template ${var.template_name} fail, denials of the hook among them."
    }
    create-keys-failed = {
      metric     = "CreateKeysAndCertificateFailed"
      dimensions = {}
      meaning    = "Devices ask for a certificate and get none."
    }
    create-certificate-from-csr-failed = {
      metric     = "CreateCertificateFromCsrFailed"
      dimensions = {}
      meaning    = "Devices send a signing request and get no certificate."
    }
  }

  _hook       = { FunctionName = var.hook_function_name }
  _onboarding = { FunctionName = var.onboarding_function_name }
  _census     = { FunctionName = aws_lambda_function.census.function_name }
  _template   = { TemplateName = var.template_name }

  # The hook's reasons, of which many at once are a mistake in a factory. Those of an attack have a number of their own, and a band.
  _mistakes = [for reason in var.denial_reasons : reason if !contains(local._attacks, reason)]
  _attacks  = ["already_provisioned", "unknown_serial"]
  attacks   = { for reason in var.denial_reasons : replace(reason, "_", "-") => reason if contains(local._attacks, reason) }

  _fixed = {
    hook-errors = {
      namespace = "AWS/Lambda", metric = "Errors", dimensions = local._hook, statistic = "Sum", threshold = 0, period = 60
      meaning   = "The pre-provisioning hook fails, so AWS IoT denies every device."
    }
    hook-throttles = {
      namespace = "AWS/Lambda", metric = "Throttles", dimensions = local._hook, statistic = "Sum", threshold = 0, period = 60
      meaning   = "Calls of the hook are turned away for want of concurrency, and AWS IoT denies those devices."
    }
    # Lambda ends the hook after 4 seconds at the latest, so a threshold of 4000 could never be exceeded.
    hook-slow = {
      namespace = "AWS/Lambda", metric = "Duration", dimensions = local._hook, statistic = "p99", threshold = 3000, period = 300
      meaning   = "One call of the hook in a hundred takes longer than 3 of the 5 seconds that AWS IoT waits; after 4 it is ended."
    }
    onboarding-errors = {
      namespace = "AWS/Lambda", metric = "Errors", dimensions = local._onboarding, statistic = "Sum", threshold = 0, period = 300
      meaning   = "New devices get no first shadow, or their status in the registry stands still; Lambda tries three times."
    }
    dead-letters = {
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = var.dead_letter_queue_name }
      statistic = "Maximum", threshold = 0, period = 300
      meaning   = "Events that nobody could handle wait in ${var.dead_letter_queue_name}, for 14 days."
    }
    census-errors = {
      namespace = "AWS/Lambda", metric = "Errors", dimensions = local._census, statistic = "Sum", threshold = 0, period = 900
      meaning   = "The census of the registry fails: how many devices are stuck is not known."
    }
    stuck-devices = {
      namespace = "Fleetgate", metric = "StuckDevices", dimensions = local._template, statistic = "Maximum", threshold = 0, period = 3600
      meaning   = "Devices have begun to come in and stand still. The census names them in its log. Without data the census does not run."
      no_data   = "breaching"
    }
  }

  # What would leave a gap in the trail. The subscription's metrics have these three dimensions [CloudWatch Logs, monitoring].
  _audit = {
    audit-errors = {
      namespace = "AWS/Lambda", metric = "Errors", dimensions = { FunctionName = var.audit.function_name }, statistic = "Sum", threshold = 0, period = 300
      meaning   = "Decisions of the hook do not reach the audit trail; Lambda tries three times."
    }
    audit-dead-letters = {
      namespace  = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum", threshold = 0, period = 300
      dimensions = { QueueName = var.audit.dead_letter_queue_name }
      meaning    = "Decisions or registry events that the audit trail could not take wait in ${var.audit.dead_letter_queue_name}, for 14 days."
    }
    audit-delivery = {
      namespace  = "AWS/Logs", metric = "DeliveryErrors", statistic = "Sum", threshold = 0, period = 300
      dimensions = { DestinationType = "Lambda", FilterName = var.audit.subscription.name, LogGroupName = var.audit.subscription.log_group_name }
      meaning    = "CloudWatch Logs cannot call the function ${var.audit.function_name}, and skips decisions of the hook for up to 10 minutes at a time."
    }
    audit-delivery-throttled = {
      namespace  = "AWS/Logs", metric = "DeliveryThrottling", statistic = "Sum", threshold = 0, period = 300
      dimensions = { DestinationType = "Lambda", FilterName = var.audit.subscription.name, LogGroupName = var.audit.subscription.log_group_name }
      meaning    = "CloudWatch Logs calls the function ${var.audit.function_name} more often than it may, tries again for 24 hours, and then drops decisions of the hook."
    }
    audit-lines = {
      namespace  = "Fleetgate", metric = "AuditLinesNotUnderstood", statistic = "Sum", threshold = 0, period = 300
      dimensions = { TableName = var.audit.table_name }
      meaning    = "Lines of the hook's log are no decisions that the audit trail could keep; the function's log says which."
    }
  }

  _claims = {
    for name, claim in var.claims : "claim-${name}-use" => {
      namespace = "AWS/IoT", metric = "ApproximateNumberOfThingsRegistered", dimensions = { ClaimCertificateId = claim.certificate_id }
      statistic = "Maximum", threshold = claim.maximum_devices, period = 3600
      meaning   = "More devices came in with the claim ${name} than the ${claim.maximum_devices} that it is for: its key may have leaked."
      heading   = "claim-use"
    }
  }

  _denials = {
    for reason in local._mistakes : "denied-${replace(reason, "_", "-")}" => {
      namespace  = "Fleetgate", metric = "Decisions", statistic = "Sum", threshold = var.maximum_denials, period = 900
      dimensions = merge(local._template, { Reason = reason })
      meaning    = "The hook denied more than ${var.maximum_denials} devices in 15 minutes: ${reason}."
      heading    = "denials"
    }
  }

  # The first burst has to fire, and a band knows nothing before such denials come regularly: so a fixed number.
  _bursts = {
    for name, reason in local.attacks : "burst-${name}" => {
      namespace  = "Fleetgate", metric = "Decisions", statistic = "Sum", threshold = var.maximum_suspicious_denials, period = 900
      dimensions = merge(local._template, { Reason = reason })
      meaning    = "The hook denied more than ${var.maximum_suspicious_denials} devices in 15 minutes as ${reason}: somebody may be trying serial numbers."
      heading    = "attacks"
    }
  }

  # What an action did is counted by rule and type of action, and AWS documents no spelling of the types: a query sums over them.
  # RuleNotFound is not among these: it counts messages that name a rule ($aws/rules/...), which no event does.
  _rules = merge([
    for name in var.rule_names : {
      "rule-${name}-failure" = {
        query     = "SELECT SUM(Failure) FROM \"AWS/IoT\" WHERE RuleName = '${name}'"
        threshold = 0, period = 300
        meaning   = "An action of the rule ${name} fails; its events go to the dead-letter queue."
        heading   = "rule-failures"
      }
      "rule-${name}-lost" = {
        query     = "SELECT SUM(ErrorActionFailure) FROM \"AWS/IoT\" WHERE RuleName = '${name}'"
        threshold = 0, period = 300
        meaning   = "Events of the rule ${name} are lost: neither its action nor the dead-letter queue could take them."
        heading   = "rule-failures"
      }
      "rule-${name}-parse-error" = {
        namespace  = "AWS/IoT", metric = "ParseError", statistic = "Sum", threshold = 0, period = 300
        dimensions = { RuleName = name }
        meaning    = "The rule ${name} cannot read events: AWS IoT has changed them, or somebody else publishes there."
        heading    = "rule-failures"
      }
      "rule-${name}-throttled" = {
        namespace  = "AWS/IoT", metric = "RuleExecutionThrottled", statistic = "Sum", threshold = 0, period = 300
        dimensions = { RuleName = name }
        meaning    = "AWS IoT leaves out events of the rule ${name}: the account's rules have too much to do. They are in no queue."
        heading    = "rule-failures"
      }
    }
  ]...)

  thresholds = merge(
    local._fixed,
    { for name, alarm in local._audit : name => merge(alarm, { heading = "audit-trail" }) },
    local._bursts,
    local._claims,
    local._denials,
    local._rules,
  )
}

resource "aws_cloudwatch_metric_alarm" "threshold" {
  for_each = { for name, alarm in local.thresholds : name => alarm if var.manage_alarms }

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = "${each.value.meaning} What to do: ${var.runbook} ${try(each.value.heading, each.key)}"
  namespace           = try(each.value.namespace, null)
  metric_name         = try(each.value.metric, null)
  dimensions          = try(each.value.dimensions, null)
  statistic           = startswith(try(each.value.statistic, "p"), "p") ? null : each.value.statistic
  extended_statistic  = startswith(try(each.value.statistic, "S"), "p") ? each.value.statistic : null
  period              = can(each.value.query) ? null : each.value.period
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = try(each.value.no_data, "notBreaching")
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  dynamic "metric_query" {
    for_each = can(each.value.query) ? [each.value.query] : []

    content {
      id          = "number"
      expression  = metric_query.value
      label       = each.key
      period      = each.value.period
      return_data = true
    }
  }
}

# A single failure among ten is 10 %, so a rate says nothing before there are some calls.
resource "aws_cloudwatch_metric_alarm" "rate" {
  for_each = { for name, rate in local.failure_rates : name => rate if var.manage_alarms }

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = "${each.value.meaning} What to do: ${var.runbook} ${each.key}"
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.maximum_failure_percent
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "rate"
    expression  = "IF(calls >= ${var.minimum_calls}, 100 * failures / calls, 0)"
    label       = "% of calls that failed"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { calls = "SampleCount", failures = "Sum" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/IoT"
        metric_name = each.value.metric
        dimensions  = each.value.dimensions
        period      = 300
        stat        = metric_query.value
      }
    }
  }
}

# Below the fixed number of a burst: where some such denials are usual, more of them than usual for ten minutes. Where there are
# none, CloudWatch has nothing to learn from, and this stays silent.
resource "aws_cloudwatch_metric_alarm" "attack" {
  for_each = { for name, reason in local.attacks : name => reason if var.manage_alarms }

  alarm_name          = "${var.prefix}-denied-${each.key}"
  alarm_description   = "More devices than usual are denied as ${each.value}: somebody may be trying serial numbers. What to do: ${var.runbook} attacks"
  evaluation_periods  = 2
  comparison_operator = "GreaterThanUpperThreshold"
  threshold_metric_id = "band"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "band"
    expression  = "ANOMALY_DETECTION_BAND(denials, 3)"
    label       = "usual"
    return_data = true
  }

  metric_query {
    id          = "denials"
    return_data = true

    metric {
      namespace   = "Fleetgate"
      metric_name = "Decisions"
      dimensions  = { TemplateName = var.template_name, Reason = each.value }
      period      = 300
      stat        = "Sum"
    }
  }
}
