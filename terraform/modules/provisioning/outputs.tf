output "hook_function_name" {
  description = "Name of the pre-provisioning hook."
  value       = aws_lambda_function.hook.function_name
}

output "template_arn" {
  description = "ARN of the provisioning template, as the hook finds it in its events."
  value       = local.template_arn
}

output "template_name" {
  description = "Name of the provisioning template."
  value       = aws_iot_provisioning_template.this.name
}
