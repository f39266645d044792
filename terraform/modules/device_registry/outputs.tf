output "table" {
  description = "ARN and name of the table, as the modules that write to it take them."
  value = {
    arn  = aws_dynamodb_table.this.arn
    name = aws_dynamodb_table.this.name
  }
}
