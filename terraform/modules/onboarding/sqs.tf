resource "aws_sqs_queue" "dead_letter" {
  name                      = "${var.prefix}-onboarding-dead-letter"
  message_retention_seconds = 1209600 # 14 days, the most there is: time to notice, mend and replay
  sqs_managed_sse_enabled   = true
}
