variable "audit_table" {
  description = "ARN and name of the audit trail's table, as the audit module puts them out."
  type = object({
    arn  = string
    name = string
  })
  nullable = false
}

variable "claim_client_id_prefix" {
  description = "What the client ids of claim connections begin with; their presence events are not looked at."
  type        = string
  nullable    = false

  # No character with a meaning in a regular expression: the prefix stands in the rule's WHERE clause.
  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,127}$", var.claim_client_id_prefix))
    error_message = "claim_client_id_prefix must be 1 to 127 letters, digits, underscores or hyphens, for example fleetgate-claim-."
  }
}

variable "function" {
  description = "The built function: path of its zip and base64 SHA-256 of that zip."
  type = object({
    package          = string
    source_code_hash = string
  })
  nullable = false

  validation {
    condition     = endswith(var.function.package, ".zip")
    error_message = "function.package must be the path of a zip file, for example ../build/local/onboarding.zip."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9+/]{43}=$", var.function.source_code_hash))
    error_message = "function.source_code_hash must be a SHA-256 in base64, for example what filebase64sha256(\"onboarding.zip\") gives."
  }
}

variable "iot_data_endpoint_url" {
  description = "URL of the account's AWS IoT data plane, which holds the shadows."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https?://[^/\\s]+$", var.iot_data_endpoint_url))
    error_message = "iot_data_endpoint_url must be a URL without a path, for example https://a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com."
  }
}

variable "kms_key_arn" {
  description = "ARN of a customer managed key for the function's log, or null for the key of CloudWatch Logs."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be a key's ARN, for example arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab."
  }
}

variable "log_retention_days" {
  description = "How long the function's log is kept, in days."
  type        = number
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods that CloudWatch Logs knows, for example 30, 90 or 365."
  }
}

variable "prefix" {
  description = "What the names of the function, its roles, its queue and its rules begin with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.prefix))
    error_message = "prefix must be 1 to 30 lower case letters, digits or hyphens and begin with a letter, for example fleetgate."
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

variable "thing_name_prefixes" {
  description = "What the names of the fleet's things begin with, one for each device type; the function can touch no other shadow."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.thing_name_prefixes) > 0 && alltrue([for p in var.thing_name_prefixes : can(regex("^[a-zA-Z0-9:_-]{1,127}$", p))])
    error_message = "thing_name_prefixes must hold 1 to 127 letters, digits, colons, underscores or hyphens each, for example [\"temperature-sensor-\"]."
  }
}
