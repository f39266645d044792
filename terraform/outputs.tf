output "alarm_topic_arn" {
  description = "ARN of the topic that all alarms go to."
  value       = module.monitoring.alarm_topic_arn
}

output "audit_table_name" {
  description = "Name of the audit trail's table."
  value       = module.audit.table.name
}

output "census_function_name" {
  description = "Name of the function that counts the devices."
  value       = module.monitoring.census_function_name
}

output "claim_certificate_ids" {
  description = "For each claim the id of its certificate."
  value       = { for name, claim in module.claim : name => claim.certificate_id }
}

output "claim_policy_name" {
  description = "Name of the policy that every claim certificate holds."
  value       = module.claim_policy.name
}

output "cloudtrail_bucket_name" {
  description = "Name of the bucket with CloudTrail's log files, or null without a trail."
  value       = one(module.cloudtrail[*].bucket_name)
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.monitoring.dashboard_name
}

output "dead_letter_queue_url" {
  description = "URL of the queue that holds the onboarding events nobody could handle."
  value       = module.onboarding.dead_letter_queue_url
}

output "device_group_names" {
  description = "For each device type the name of its thing group."
  value       = { for name, type in module.device_type : name => type.group_name }
}

output "device_policy_names" {
  description = "For each device type the name of its IoT policy."
  value       = { for name, type in module.device_type : name => type.policy_name }
}

output "hook_function_name" {
  description = "Name of the pre-provisioning hook."
  value       = module.provisioning.hook_function_name
}

output "onboarding_function_name" {
  description = "Name of the onboarding function."
  value       = module.onboarding.function_name
}

output "parent_group_name" {
  description = "Name of the thing group above the groups of the device types."
  value       = module.parent_group.name
}

output "table_name" {
  description = "Name of the device registry."
  value       = module.device_registry.table.name
}

output "template_arn" {
  description = "ARN of the provisioning template."
  value       = module.provisioning.template_arn
}

output "template_name" {
  description = "Name of the provisioning template."
  value       = module.provisioning.template_name
}
