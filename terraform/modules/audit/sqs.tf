# Two kinds of message: registry events that a rule could not write, and deliveries of the hook's log that the function could not.
resource "aws_sqs_queue" "dead_letter" {
  name                      = "${var.prefix}-audit-dead-letter"
  message_retention_seconds = 1209600 # 14 days, the most there is: time to notice, mend and replay
  sqs_managed_sse_enabled   = true
}
