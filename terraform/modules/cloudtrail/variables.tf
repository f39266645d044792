variable "deletion_protection" {
  description = "Whether the bucket can be destroyed only when somebody has emptied it."
  type        = bool
  default     = true
  nullable    = false
}

variable "multi_region" {
  description = "Whether the trail has the calls of all Regions and not only of its own."
  type        = bool
  default     = true
  nullable    = false
}

variable "prefix" {
  description = "What the names of the trail and the bucket begin with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.prefix))
    error_message = "prefix must be 1 to 30 lower case letters, digits or hyphens and begin with a letter, for example fleetgate."
  }
}

variable "retention_days" {
  description = "How long log files are kept, in days."
  type        = number
  default     = 400
  nullable    = false

  validation {
    condition     = var.retention_days >= 90 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number of 90 or more, for example 400: CloudTrail keeps 90 days by itself."
  }
}
