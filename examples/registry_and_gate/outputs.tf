output "table_name" {
  description = "Name of the device registry."
  value       = module.device_registry.table.name
}

output "template_name" {
  description = "Name of the provisioning template, which the devices and their claims' policy name."
  value       = module.provisioning.template_name
}
