output "alarm_topic_arn" {
  description = "ARN of the topic that all alarms go to."
  value       = aws_sns_topic.alarms.arn
}

output "census_function_name" {
  description = "Name of the function that counts the devices."
  value       = aws_lambda_function.census.function_name
}

output "dashboard_name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
