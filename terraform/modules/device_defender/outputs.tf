output "scheduled_audit_name" {
  description = "Name of the weekly audit, which is a dimension of AWS IoT's metrics about audits."
  value       = local.template.Resources.Schedule.Properties.ScheduledAuditName
}
