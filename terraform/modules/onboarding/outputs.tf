output "dead_letter_queue_name" {
  description = "Name of the queue that holds the events nobody could handle."
  value       = aws_sqs_queue.dead_letter.name
}

output "dead_letter_queue_url" {
  description = "URL of the queue that holds the events nobody could handle."
  value       = aws_sqs_queue.dead_letter.url
}

output "function_name" {
  description = "Name of the onboarding function."
  value       = aws_lambda_function.this.function_name
}

output "rule_names" {
  description = "Names of the topic rules, sorted."
  value       = sort([for rule in aws_iot_topic_rule.this : rule.name])
}
