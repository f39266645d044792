output "dead_letter_queue_name" {
  description = "Name of the queue that holds what could not be written into the trail."
  value       = aws_sqs_queue.dead_letter.name
}

output "function_name" {
  description = "Name of the function that keeps the hook's decisions."
  value       = aws_lambda_function.this.function_name
}

output "rule_names" {
  description = "Names of the topic rules, sorted."
  value       = sort([for rule in aws_iot_topic_rule.this : rule.name])
}

output "subscription" {
  description = "Name of the filter that delivers the hook's decisions, and of the log group that it is on."
  value = {
    log_group_name = aws_cloudwatch_log_subscription_filter.hook.log_group_name
    name           = aws_cloudwatch_log_subscription_filter.hook.name
  }
}

output "table" {
  description = "ARN and name of the audit table, as the modules that write to it take them."
  value = {
    arn  = aws_dynamodb_table.this.arn
    name = aws_dynamodb_table.this.name
  }
}
