output "arns" {
  description = "ARNs of the type's group, policy and thing type, as the provisioning module takes them."
  value = {
    group      = aws_iot_thing_group.this.arn
    policy     = aws_iot_policy.this.arn
    thing_type = aws_iot_thing_type.this.arn
  }
}

output "group_name" {
  description = "Name of the type's thing group."
  value       = aws_iot_thing_group.this.name
}

output "policy_name" {
  description = "Name of the type's IoT policy."
  value       = aws_iot_policy.this.name
}
