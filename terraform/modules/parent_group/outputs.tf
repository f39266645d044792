output "name" {
  description = "Name of the group; passing it on makes the children wait for the parent."
  value       = aws_iot_thing_group.this.name
}
