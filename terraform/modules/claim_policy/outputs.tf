output "name" {
  description = "Name of the policy; passing it on makes the claims wait for it."
  value       = aws_iot_policy.this.name
}
