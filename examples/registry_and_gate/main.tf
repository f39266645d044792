# Names, policies and packages are what fleetgate has compiled, so that the hook and AWS agree on them. All else is this team's.
locals {
  _compiled = jsondecode(file("${var.build}/fleet.tfvars.json"))
  _template = jsondecode(local._compiled.template_body)

  device_types = { for name in var.device_types : name => local._compiled.device_types[name] }

  # The team's own template. Its parameters are the compiled ones, because each that the hook sends has to be declared; what becomes of
  # them is its own affair.
  template_body = jsonencode({
    Parameters = local._template.Parameters
    Resources = merge(local._template.Resources, {
      thing = {
        Type = "AWS::IoT::Thing"
        Properties = {
          ThingName     = { Ref = "ThingName" }
          ThingTypeName = { Ref = "ThingTypeName" }
          ThingGroups   = [{ Ref = "GroupName" }]
          AttributePayload = {
            serialNumber = { Ref = "SerialNumber" }
            site         = var.site
          }
        }
        OverrideSettings = local._template.Resources.thing.OverrideSettings
      }
    })
  })
}

provider "aws" {
  region = local._compiled.region

  default_tags {
    tags = { Team = local._compiled.prefix }
  }
}

module "device_registry" {
  source = "../../terraform/modules/device_registry"

  deletion_protection = local._compiled.deletion_protection
  name                = "${local._compiled.prefix}-device-registry"
}

module "device_type" {
  source   = "../../terraform/modules/device_type"
  for_each = local.device_types

  description       = each.value.description
  group_name        = each.value.group_name
  parent_group_name = var.parent_group_name
  policy            = each.value.policy
  policy_name       = each.value.policy_name
  thing_type_name   = each.value.thing_type_name
}

module "provisioning" {
  source = "../../terraform/modules/provisioning"

  claim_certificate_ids = var.claim_certificate_ids
  device_types          = { for name, type in module.device_type : name => type.arns }
  hook = {
    package          = "${var.build}/provisioning_hook.zip"
    source_code_hash = local._compiled.functions.provisioning_hook.source_code_hash
  }
  lease_seconds       = local._compiled.lease_seconds
  log_retention_days  = local._compiled.log_retention_days
  prefix              = local._compiled.prefix
  registry_table      = module.device_registry.table
  template_body       = local.template_body
  template_name       = local._compiled.template_name
  thing_name_prefixes = local._compiled.thing_name_prefixes
}
