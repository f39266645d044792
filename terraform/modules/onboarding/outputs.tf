output "dead_letter_queue_url" {
  description = "URL of the queue that holds the events nobody could handle."
  value       = aws_sqs_queue.dead_letter.url
}

output "function_name" {
  description = "Name of the onboarding function."
  value       = aws_lambda_function.this.function_name
}
