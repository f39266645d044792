variable "claim_certificate_ids" {
  description = "Ids of the active claims' certificates, as the claim module puts them out; the hook lets in no other claim."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.claim_certificate_ids) >= 1 && length(var.claim_certificate_ids) <= 40
    error_message = "claim_certificate_ids must hold 1 to 40 ids, for example [module.claim[\"factory-1\"].certificate_id]: without one no device comes in, and more do not fit into the 4 KB of a function's environment."
  }

  validation {
    condition     = alltrue([for id in var.claim_certificate_ids : can(regex("^[0-9a-f]{64}$", id))])
    error_message = "claim_certificate_ids must hold certificate ids of 64 lower case hexadecimal digits, for example what aws_iot_certificate has as its id, and not ARNs."
  }
}

variable "device_types" {
  description = "For each device type the ARNs of its group, policy and thing type, as the device_type module puts them out."
  type = map(object({
    group      = string
    policy     = string
    thing_type = string
  }))
  nullable = false

  validation {
    condition     = length(var.device_types) > 0
    error_message = "device_types must hold at least one device type, for example {temperature-sensor = module.temperature_sensor.arns}."
  }
}

variable "hook" {
  description = "The built function: path of its zip, base64 SHA-256 of that zip, and how much time and memory it gets."
  type = object({
    memory_mb        = optional(number, 512)
    package          = string
    source_code_hash = string
    timeout_seconds  = optional(number, 4)
  })
  nullable = false

  # Memory is also processor time: a cold start has to fit into AWS IoT's five seconds.
  validation {
    condition     = var.hook.memory_mb >= 256 && var.hook.memory_mb <= 10240 && floor(var.hook.memory_mb) == var.hook.memory_mb
    error_message = "hook.memory_mb must be a whole number from 256 to 10240, for example 512."
  }

  validation {
    condition     = endswith(var.hook.package, ".zip")
    error_message = "hook.package must be the path of a zip file, for example ../build/local/provisioning_hook.zip."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9+/]{43}=$", var.hook.source_code_hash))
    error_message = "hook.source_code_hash must be a SHA-256 in base64, for example what filebase64sha256(\"provisioning_hook.zip\") gives."
  }

  validation {
    condition     = var.hook.timeout_seconds >= 1 && var.hook.timeout_seconds < 5 && floor(var.hook.timeout_seconds) == var.hook.timeout_seconds
    error_message = "hook.timeout_seconds must be a whole number from 1 to 4, for example 4: AWS IoT waits no longer than 5 seconds for the answer."
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

variable "lease_seconds" {
  description = "How long a serial number stays reserved for the certificate that claimed it, in seconds."
  type        = number
  nullable    = false

  validation {
    condition     = var.lease_seconds >= 10 && var.lease_seconds <= 86400 && floor(var.lease_seconds) == var.lease_seconds
    error_message = "lease_seconds must be a whole number from 10 to 86400, for example 300."
  }
}

variable "log_retention_days" {
  description = "How long the hook's log is kept, in days."
  type        = number
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods that CloudWatch Logs knows, for example 30, 90 or 365."
  }
}

variable "prefix" {
  description = "What the names of the function and the two roles begin with."
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

variable "template_body" {
  description = "JSON body of the provisioning template; every edit makes a version, of which AWS IoT keeps five at most."
  type        = string
  nullable    = false

  validation {
    condition     = can(jsondecode(var.template_body).Resources)
    error_message = "template_body must be a JSON template with Resources, for example {\"Parameters\": {...}, \"Resources\": {...}}."
  }

  validation {
    condition     = length(var.template_body) <= 10240
    error_message = "template_body must have at most 10240 characters; shorten it, for example by writing the JSON without indentation."
  }
}

variable "template_name" {
  description = "Name of the provisioning template, which devices name in their topics."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9A-Za-z_-]{1,36}$", var.template_name))
    error_message = "template_name must be 1 to 36 letters, digits, underscores or hyphens, for example fleetgate-fleet."
  }
}

variable "thing_name_prefixes" {
  description = "What the names of the fleet's things begin with, one for each device type; the role can touch no other thing."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.thing_name_prefixes) > 0 && alltrue([for p in var.thing_name_prefixes : can(regex("^[a-zA-Z0-9:_-]{1,127}$", p))])
    error_message = "thing_name_prefixes must hold 1 to 127 letters, digits, colons, underscores or hyphens each, for example [\"temperature-sensor-\"]."
  }
}
