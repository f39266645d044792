variable "alarm_emails" {
  description = "Addresses that are asked to subscribe to the alarms; other receivers subscribe to the topic that is put out."
  type        = list(string)
  nullable    = false
  default     = []
}

variable "audit" {
  description = "Names of what keeps the audit trail, as the audit module puts them out."
  type = object({
    dead_letter_queue_name = string
    function_name          = string
    subscription = object({
      log_group_name = string
      name           = string
    })
    table_name = string
  })
  nullable = false
}

variable "census_function" {
  description = "The built census function: path of its zip and base64 SHA-256 of that zip."
  type = object({
    package          = string
    source_code_hash = string
  })
  nullable = false

  validation {
    condition     = endswith(var.census_function.package, ".zip")
    error_message = "census_function.package must be the path of a zip file, for example ../build/local/census.zip."
  }
}

variable "claims" {
  description = "Claim certificates by name: the id of each, and how many devices may come in with it."
  type = map(object({
    certificate_id  = string
    maximum_devices = number
  }))
  nullable = false
}

variable "dead_letter_queue_name" {
  description = "Name of the queue for events that nobody could handle."
  type        = string
  nullable    = false
}

variable "denial_reasons" {
  description = "The reasons for which the hook denies, as its metric has them."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.denial_reasons) > 0 && alltrue([for reason in var.denial_reasons : can(regex("^[a-z][a-z_]{0,63}$", reason))])
    error_message = "denial_reasons must be words in small letters with underscores, for example [\"unknown_serial\"]."
  }
}

variable "device_type_names" {
  description = "Names of the device types, as the registry has them."
  type        = list(string)
  nullable    = false
}

variable "hook_function_name" {
  description = "Name of the pre-provisioning hook."
  type        = string
  nullable    = false
}

variable "iot_log_level" {
  description = "How much AWS IoT logs, in the account's and Region's one log AWSIotLogsV2; empty if that is another stack's."
  type        = string
  nullable    = false
  default     = "INFO"

  validation {
    condition     = contains(["", "DEBUG", "INFO", "WARN", "ERROR"], var.iot_log_level)
    error_message = "iot_log_level must be DEBUG, INFO, WARN, ERROR or empty, for example INFO."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key for logs and alarms, as the encryption module puts it out."
  type        = string
  nullable    = false
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods that CloudWatch Logs knows, for example 30, 90 or 365."
  }
}

variable "manage_alarms" {
  description = "Whether the alarms exist; the embedded cloud tells the provider too little of an alarm to compare it."
  type        = bool
  nullable    = false
  default     = true
}

variable "maximum_denials" {
  description = "Denials of one reason in 15 minutes that are still no alarm."
  type        = number
  nullable    = false
  default     = 25
}

variable "maximum_failure_percent" {
  description = "Failed calls of one kind in 5 minutes that are still no alarm, in percent."
  type        = number
  nullable    = false
  default     = 20

  validation {
    condition     = var.maximum_failure_percent >= 0 && var.maximum_failure_percent < 100
    error_message = "maximum_failure_percent must be 0 or more and below 100, or the alarm could never fire, for example 20."
  }
}

variable "maximum_suspicious_denials" {
  description = "Denials of unknown or taken serial numbers in 15 minutes, of each reason, that are still no alarm; from the first burst on."
  type        = number
  nullable    = false
  default     = 10

  validation {
    condition     = var.maximum_suspicious_denials >= 0
    error_message = "maximum_suspicious_denials must be 0 or more, for example 10."
  }
}

variable "minimum_calls" {
  description = "Calls in 5 minutes below which a rate says nothing."
  type        = number
  nullable    = false
  default     = 10
}

variable "onboarding_function_name" {
  description = "Name of the onboarding function."
  type        = string
  nullable    = false
}

variable "prefix" {
  description = "What the names of the topic, the alarms, the dashboard, the function and its roles begin with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.prefix))
    error_message = "prefix must be 1 to 30 lower case letters, digits or hyphens and begin with a letter, for example fleetgate."
  }
}

variable "quotas_per_second" {
  description = "What AWS IoT lets devices do in a second, as the account's quotas are; lines of the dashboard, by default AWS's."
  type = object({
    create_certificate_from_csr = optional(number, 20)
    create_keys                 = optional(number, 10)
    register_thing              = optional(number, 10)
  })
  nullable = false
  default  = {}

  validation {
    condition     = alltrue([for quota in values(var.quotas_per_second) : quota > 0])
    error_message = "quotas_per_second must be above 0 each, for example {register_thing = 50}."
  }
}

variable "registry_table" {
  description = "ARN and name of the device registry, as the device_registry module puts them out."
  type = object({
    arn  = string
    name = string
  })
  nullable = false
}

variable "rule_names" {
  description = "Names of the topic rules whose failures are alarms: all of the stack."
  type        = list(string)
  nullable    = false

  # A name ends up in a query, between quotes.
  validation {
    condition     = length(var.rule_names) > 0 && alltrue([for name in var.rule_names : can(regex("^[a-zA-Z0-9_]{1,128}$", name))])
    error_message = "rule_names must be names of topic rules, letters, digits and underscores, for example [\"fleetgate_thing_created\"]."
  }
}

variable "runbook" {
  description = "Where somebody reads what to do; every alarm names it with the heading."
  type        = string
  nullable    = false
  default     = "docs/runbook.md, heading"
}

variable "stuck_after_seconds" {
  description = "After how many seconds a device is stuck, in provisioning (its certificate is made) and in provisioned (it never connected)."
  type = object({
    provisioned  = optional(number, 86400)
    provisioning = optional(number, 3600)
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.stuck_after_seconds.provisioned >= 60 && var.stuck_after_seconds.provisioning >= 60
    error_message = "stuck_after_seconds must be 60 or more each, for example {provisioning = 3600, provisioned = 86400}."
  }
}

variable "template_name" {
  description = "Name of the provisioning template."
  type        = string
  nullable    = false
}
