output "hook_function_name" {
  description = "Name of the pre-provisioning hook."
  value       = aws_lambda_function.hook.function_name
}

output "hook_log_group" {
  description = "ARN and name of the hook's log group, as the audit module takes them."
  value = {
    arn  = aws_cloudwatch_log_group.hook.arn
    name = aws_cloudwatch_log_group.hook.name
  }
}

output "template_arn" {
  description = "ARN of the provisioning template, as the hook finds it in its events."
  value       = local.template_arn
}

output "template_name" {
  description = "Name of the provisioning template."
  value       = aws_iot_provisioning_template.this.name
}
