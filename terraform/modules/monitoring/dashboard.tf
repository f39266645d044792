locals {
  _statuses = ["registered", "provisioning", "provisioned", "active", "revoked"]
  _types    = sort(var.device_type_names)

  # The funnel of every type, two in a row.
  _funnels = [
    for index, type in local._types : {
      type = "metric", width = 12, height = 6, x = 12 * (index % 2), y = 6 * floor(index / 2)
      properties = {
        title   = "${type}: from registered to active"
        region  = local.region
        period  = 900
        stat    = "Maximum"
        view    = "timeSeries"
        metrics = [for status in local._statuses : ["Fleetgate", "Devices", "TemplateName", var.template_name, "DeviceType", type, "Status", status, { label = status }]]
      }
    }
  ]
  _below = 6 * ceil(length(local._types) / 2)

  _provisioning = [
    ["AWS/IoT", "RegisterThingFailed", "TemplateName", var.template_name, { stat = "SampleCount", label = "RegisterThing" }],
    ["AWS/IoT", "CreateKeysAndCertificateFailed", { stat = "SampleCount", label = "CreateKeysAndCertificate" }],
    ["AWS/IoT", "CreateCertificateFromCsrFailed", { stat = "SampleCount", label = "CreateCertificateFromCsr" }],
  ]

  # By what one line is drawn for: calls that may be made as often share one.
  _quotas = {
    for call, quota in {
      CreateCertificateFromCsr = var.quotas_per_second.create_certificate_from_csr
      CreateKeysAndCertificate = var.quotas_per_second.create_keys
      RegisterThing            = var.quotas_per_second.register_thing
    } : tostring(quota) => call...
  }

  _widgets = [
    {
      # The canaries of the smoke checks are another metric, CanaryDecisions.
      title   = "Denials by reason, without the smoke checks' own", view = "timeSeries", stacked = true, stat = "Sum", period = 300
      metrics = [for reason in sort(var.denial_reasons) : ["Fleetgate", "Decisions", "TemplateName", var.template_name, "Reason", reason, { label = reason }]]
    },
    {
      title       = "Hook: p50 and p99, of 5000 ms", view = "timeSeries", stat = "p99", period = 300
      metrics     = [for stat in ["p50", "p99"] : ["AWS/Lambda", "Duration", "FunctionName", var.hook_function_name, { stat = stat, label = stat }]]
      annotations = { horizontal = [{ label = "AWS IoT gives up", value = 5000 }] }
    },
    {
      # Calls in a minute against what the account may do in one. Nobody asks AWS for the quotas: they are what the caller says.
      title       = "Calls a minute, against the quotas", view = "timeSeries", stat = "SampleCount", period = 60
      metrics     = local._provisioning
      annotations = { horizontal = [for quota, calls in local._quotas : { label = "${join(", ", calls)}: ${quota} a second", value = 60 * tonumber(quota) }] }
    },
    {
      title   = "Stuck devices", view = "timeSeries", stat = "Maximum", period = 900
      metrics = [for type in local._types : ["Fleetgate", "StuckDevices", "TemplateName", var.template_name, "DeviceType", type, { label = type }]]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.prefix

  dashboard_body = jsonencode({
    widgets = concat(local._funnels, [
      for index, properties in local._widgets : {
        type       = "metric", width = 12, height = 6, x = 12 * (index % 2), y = local._below + 6 * floor(index / 2)
        properties = merge(properties, { region = local.region })
      }
    ])
  })
}
