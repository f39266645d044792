locals {
  # What a build is compiled from. One pattern each: fileset takes no alternatives with a slash in them.
  _input_patterns = [
    "catalogue/device_types.yaml",
    "lambda_src/**/*.py",
    "policy_templates/*.json.j2",
    "terraform/envs/${var.environment}.yaml",
  ]
  _input_files  = setunion([for pattern in local._input_patterns : fileset("${path.root}/..", pattern)]...)
  input_digests = tomap({ for file in local._input_files : file => filesha256("${path.root}/../${file}") })

  # The one address that no SDK can work out by itself: the data plane's differs from account to account.
  iot_data_endpoint_url = var.endpoint_url != "" ? var.endpoint_url : "https://${data.aws_iot_endpoint.data.endpoint_address}"

  # A claim that is retired here is refused by the hook too, even if somebody activates its certificate by hand.
  active_claim_certificate_ids = [for name, claim in var.claims : module.claim[name].certificate_id if claim.active]

  functions = {
    for name, function in var.functions : name => {
      package          = "${path.root}/../${function.package}"
      source_code_hash = function.source_code_hash
    }
  }
}

data "aws_iot_endpoint" "data" {
  endpoint_type = "iot:Data-ATS"
}

module "encryption" {
  source = "./modules/encryption"

  prefix = var.prefix
}

module "event_configurations" {
  source = "./modules/event_configurations"
  count  = var.manage_event_configurations ? 1 : 0
}

module "device_registry" {
  source = "./modules/device_registry"

  deletion_protection = var.deletion_protection
  name                = "${var.prefix}-device-registry"
}

module "parent_group" {
  source = "./modules/parent_group"

  name = var.parent_group_name
}

module "device_type" {
  source   = "./modules/device_type"
  for_each = var.device_types

  description       = each.value.description
  group_name        = each.value.group_name
  parent_group_name = module.parent_group.name
  policy            = each.value.policy
  policy_name       = each.value.policy_name
  thing_type_name   = each.value.thing_type_name
}

module "provisioning" {
  source = "./modules/provisioning"

  claim_certificate_ids = local.active_claim_certificate_ids
  device_types          = { for name, type in module.device_type : name => type.arns }
  hook                  = local.functions["provisioning_hook"]
  kms_key_arn           = module.encryption.key_arn
  lease_seconds         = var.lease_seconds
  log_retention_days    = var.log_retention_days
  prefix                = var.prefix
  registry_table        = module.device_registry.table
  template_body         = var.template_body
  template_name         = var.template_name
  thing_name_prefixes   = var.thing_name_prefixes
}

module "claim_policy" {
  source = "./modules/claim_policy"

  name   = var.claim_policy_name
  policy = var.claim_policy
}

module "claim" {
  source   = "./modules/claim"
  for_each = var.claims

  active      = each.value.active
  csr_pem     = each.value.csr_pem
  policy_name = module.claim_policy.name
}

module "onboarding" {
  source = "./modules/onboarding"

  audit_table            = module.audit.table
  claim_client_id_prefix = var.claim_client_id_prefix
  function               = local.functions["onboarding"]
  iot_data_endpoint_url  = local.iot_data_endpoint_url
  kms_key_arn            = module.encryption.key_arn
  log_retention_days     = var.log_retention_days
  prefix                 = var.prefix
  registry_table         = module.device_registry.table
  thing_name_prefixes    = var.thing_name_prefixes
}

# The names as they are compiled and not as the modules put them out: the rules must not wait for the types, or the trail would
# begin after them.
module "audit" {
  source = "./modules/audit"

  deletion_protection = var.deletion_protection
  function            = local.functions["audit"]
  group_names         = concat([var.parent_group_name], [for type in var.device_types : type.group_name])
  hook_log_group      = module.provisioning.hook_log_group
  kms_key_arn         = module.encryption.key_arn
  log_retention_days  = var.log_retention_days
  policy_names        = concat([var.claim_policy_name], [for type in var.device_types : type.policy_name])
  prefix              = var.prefix
  thing_name_prefixes = var.thing_name_prefixes
  thing_type_names    = [for type in var.device_types : type.thing_type_name]
}

module "monitoring" {
  source = "./modules/monitoring"

  alarm_emails = var.alarm_emails
  audit = {
    dead_letter_queue_name = module.audit.dead_letter_queue_name
    function_name          = module.audit.function_name
    subscription           = module.audit.subscription
    table_name             = module.audit.table.name
  }
  census_function = local.functions["census"]
  claims = {
    for name, claim in var.claims : name => {
      certificate_id  = module.claim[name].certificate_id
      maximum_devices = claim.maximum_devices
    } if claim.active
  }
  dead_letter_queue_name   = module.onboarding.dead_letter_queue_name
  denial_reasons           = var.denial_reasons
  device_type_names        = keys(var.device_types)
  hook_function_name       = module.provisioning.hook_function_name
  iot_log_level            = var.iot_log_level
  kms_key_arn              = module.encryption.key_arn
  log_retention_days       = var.log_retention_days
  manage_alarms            = var.manage_alarms
  onboarding_function_name = module.onboarding.function_name
  prefix                   = var.prefix
  quotas_per_second        = var.quotas_per_second
  registry_table           = module.device_registry.table
  rule_names               = concat(module.audit.rule_names, module.onboarding.rule_names)
  stuck_after_seconds      = var.stuck_after_seconds
  template_name            = module.provisioning.template_name
}

module "cloudtrail" {
  source = "./modules/cloudtrail"
  count  = var.manage_cloudtrail ? 1 : 0

  deletion_protection = var.deletion_protection
  multi_region        = var.cloudtrail_multi_region
  prefix              = var.prefix
}

module "device_defender" {
  source = "./modules/device_defender"
  count  = var.manage_device_defender ? 1 : 0

  alarm_topic_arn = module.monitoring.alarm_topic_arn
  kms_key_arn     = module.encryption.key_arn
  prefix          = var.prefix
}
