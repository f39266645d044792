variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the table until this is set to false."
  type        = bool
  default     = true
  nullable    = false
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
    error_message = "function.package must be the path of a zip file, for example ../build/local/audit.zip."
  }
}

variable "group_names" {
  description = "Names of the stack's thing groups, whose events go into the trail."
  type        = list(string)
  nullable    = false

  # They end up in a regular expression in a text of SQL.
  validation {
    condition     = length(var.group_names) > 0 && alltrue([for name in var.group_names : can(regex("^[a-zA-Z0-9_-]{1,128}$", name))])
    error_message = "group_names must be names of thing groups, of letters, digits, underscores and hyphens, for example [\"gateway-devices\"]."
  }
}

variable "hook_log_group" {
  description = "ARN and name of the hook's log group, as the provisioning module puts them out."
  type = object({
    arn  = string
    name = string
  })
  nullable = false

  # The function's own log, delivered to the function, would call it for ever.
  validation {
    condition     = var.hook_log_group.name != "/aws/lambda/${var.prefix}-audit" && !endswith(var.hook_log_group.arn, ":*")
    error_message = "hook_log_group must be the hook's log group and not the audit function's, its ARN without :*, for example {arn = \"arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/fleetgate-provisioning-hook\", name = \"/aws/lambda/fleetgate-provisioning-hook\"}."
  }
}

variable "kms_key_arn" {
  description = "ARN of a customer managed key for the logs, or null for the key of CloudWatch Logs."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be a key's ARN, for example arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab."
  }
}

variable "log_retention_days" {
  description = "How long the logs are kept; the table keeps entries for good, in days."
  type        = number
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods that CloudWatch Logs knows, for example 30, 90 or 365."
  }
}

variable "policy_names" {
  description = "Names of the stack's IoT policies, whose events go into the trail."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.policy_names) > 0 && alltrue([for name in var.policy_names : can(regex("^[a-zA-Z0-9_-]{1,128}$", name))])
    error_message = "policy_names must be names of IoT policies, of letters, digits, underscores and hyphens, for example [\"fleetgate-gateway\"]."
  }
}

variable "prefix" {
  description = "What the names of the table, the function, the queue, the log groups, the roles and the rules begin with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.prefix))
    error_message = "prefix must be 1 to 30 lower case letters, digits or hyphens and begin with a letter, for example fleetgate."
  }
}

variable "thing_name_prefixes" {
  description = "What the names of the fleet's things begin with, one for each device type; events of other things are not the stack's."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.thing_name_prefixes) > 0 && alltrue([for prefix in var.thing_name_prefixes : can(regex("^[a-zA-Z0-9_-]{1,64}$", prefix))])
    error_message = "thing_name_prefixes must be beginnings of thing names, of letters, digits, underscores and hyphens, for example [\"gateway-\"]."
  }
}

variable "thing_type_names" {
  description = "Names of the stack's thing types, whose events go into the trail."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.thing_type_names) > 0 && alltrue([for name in var.thing_type_names : can(regex("^[a-zA-Z0-9_-]{1,128}$", name))])
    error_message = "thing_type_names must be names of thing types, of letters, digits, underscores and hyphens, for example [\"gateway\"]."
  }
}
