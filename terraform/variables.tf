# Every one of these is compiled from the catalogue and the environment's file into build/<environment>/fleet.tfvars.json.
# None has a default: what the compiler forgets must be an error here and not a silent choice.

variable "account_id" {
  description = "The only AWS account that this stack may be applied to."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits in quotes, for example \"123456789012\"."
  }
}

variable "alarm_emails" {
  description = "Addresses that are asked to subscribe to the alarms."
  type        = list(string)
  nullable    = false
}

variable "claim_client_id_prefix" {
  description = "What the client ids of claim connections begin with."
  type        = string
  nullable    = false
}

variable "claim_policy" {
  description = "JSON document of the policy that every claim certificate gets."
  type        = string
  nullable    = false
}

variable "claim_policy_name" {
  description = "Name of the policy that every claim certificate gets."
  type        = string
  nullable    = false
}

variable "claims" {
  description = "Claim certificates by name: the signing request of each, for how many devices, and whether they may still connect with it."
  type = map(object({
    active          = bool
    csr_pem         = string
    maximum_devices = number
  }))
  nullable = false
}

variable "cloudtrail_multi_region" {
  description = "Whether the CloudTrail trail has the calls of all Regions, if there is one."
  type        = bool
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether the device registry and the audit trail are protected from deletion, and CloudTrail's log files."
  type        = bool
  nullable    = false
}

variable "denial_reasons" {
  description = "The reasons for which the hook denies, as its metric has them."
  type        = list(string)
  nullable    = false
}

variable "device_types" {
  description = "Device types by name, with the names and the policy that the catalogue gives each."
  type = map(object({
    description     = string
    group_name      = string
    policy          = string
    policy_name     = string
    thing_type_name = string
  }))
  nullable = false
}

variable "endpoint_url" {
  description = "URL of the embedded cloud, or an empty string on AWS."
  type        = string
  nullable    = false

  validation {
    condition     = var.endpoint_url == "" || can(regex("^https?://[^/\\s]+$", var.endpoint_url))
    error_message = "endpoint_url must be empty on AWS, otherwise a URL without a path, for example http://127.0.0.1:4566."
  }
}

variable "environment" {
  description = "Name of the environment that was compiled, which is also the name of its file in terraform/envs."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{0,31}$", var.environment))
    error_message = "environment must be 1 to 32 lower case letters, digits, hyphens or underscores, for example local."
  }
}

variable "functions" {
  description = "The built functions by name: path of each zip from the repository's root, and base64 SHA-256 of that zip."
  type = map(object({
    package          = string
    source_code_hash = string
  }))
  nullable = false

  validation {
    condition     = toset(keys(var.functions)) == toset(["audit", "census", "onboarding", "provisioning_hook"])
    error_message = "functions must have exactly the keys audit, census, onboarding and provisioning_hook, for example {onboarding = {package = \"build/local/onboarding.zip\", source_code_hash = \"...\"}, audit = {...}, census = {...}, provisioning_hook = {...}}."
  }
}

variable "input_digests" {
  description = "SHA-256 in hex of each file that this build was compiled from, by its path from the repository's root."
  type        = map(string)
  nullable    = false

  # A build that is older than its sources must not be planned: what a reviewer reads would not be what is applied.
  validation {
    condition = var.input_digests == local.input_digests
    error_message = format(
      "The build is stale: since it was compiled these files have changed, come or gone: %s. Compile it again and plan with the new variables, for example with make plan ENV=%s.",
      join(", ", [
        for file in setunion(keys(local.input_digests), keys(var.input_digests)) :
        file if lookup(var.input_digests, file, "") != lookup(local.input_digests, file, "")
      ]),
      var.environment,
    )
  }
}

variable "iot_log_level" {
  description = "How much AWS IoT logs in the account and Region, or an empty string if its log is another stack's."
  type        = string
  nullable    = false
}

variable "lease_seconds" {
  description = "How long a serial number stays reserved for the certificate that claimed it, in seconds."
  type        = number
  nullable    = false
}

variable "log_retention_days" {
  description = "How long the functions' logs are kept, in days."
  type        = number
  nullable    = false
}

variable "manage_alarms" {
  description = "Whether the alarms exist, which the embedded cloud cannot keep."
  type        = bool
  nullable    = false
}

variable "manage_cloudtrail" {
  description = "Whether this stack has a CloudTrail trail of its own; organisations often have one for all accounts."
  type        = bool
  nullable    = false
}

variable "manage_device_defender" {
  description = "Whether this stack owns the audits of AWS IoT Device Defender, of which there is one configuration in an account and Region."
  type        = bool
  nullable    = false
}

variable "manage_event_configurations" {
  description = "Whether this stack owns the event configurations, of which there is one set in an account and Region."
  type        = bool
  nullable    = false
}

variable "parent_group_name" {
  description = "Name of the thing group above the groups of the device types."
  type        = string
  nullable    = false
}

variable "prefix" {
  description = "What the names of the stack's AWS resources begin with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.prefix))
    error_message = "prefix must be 1 to 30 lower case letters, digits or hyphens and begin with a letter, for example fleetgate."
  }
}

variable "quotas_per_second" {
  description = "What AWS IoT lets devices do in a second, as the account's quotas are; lines of the dashboard."
  type = object({
    create_certificate_from_csr = number
    create_keys                 = number
    register_thing              = number
  })
  nullable = false
}

variable "region" {
  description = "AWS Region of the stack."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of a Region, for example eu-west-1."
  }
}

variable "stuck_after_seconds" {
  description = "After how many seconds a device is stuck in each status, in seconds."
  type = object({
    provisioned  = number
    provisioning = number
  })
  nullable = false
}

variable "tags" {
  description = "Tags that every resource of the stack carries."
  type        = map(string)
  nullable    = false

  validation {
    condition     = lookup(var.tags, "Stack", "") == var.prefix
    error_message = "tags must have Stack, the stack's prefix: by it the deployer's policy tells the stack's keys. For example {Stack = \"fleetgate\"}."
  }

  validation {
    condition     = alltrue([for key, value in var.tags : length(key) > 0 && length(key) <= 128 && length(value) <= 256 && !startswith(lower(key), "aws:")])
    error_message = "tags must have keys of 1 to 128 characters that do not begin with aws: and values of at most 256, for example {Project = \"IoTProvisioning\"}."
  }
}

variable "template_body" {
  description = "JSON body of the provisioning template."
  type        = string
  nullable    = false
}

variable "template_name" {
  description = "Name of the provisioning template."
  type        = string
  nullable    = false
}

variable "thing_name_prefixes" {
  description = "What the names of the fleet's things begin with, one for each device type."
  type        = list(string)
  nullable    = false
}
