output "enabled_events" {
  description = "Events that are switched on."
  value       = [for event, enabled in aws_iot_event_configurations.this.event_configurations : event if enabled]
}
