variable "deletion_window_days" {
  description = "How long the key can still be saved after it was destroyed, in days."
  type        = number
  nullable    = false
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "deletion_window_days must be 7 to 30, for example 30."
  }
}

variable "prefix" {
  description = "Name of the key's alias."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.prefix))
    error_message = "prefix must be 1 to 30 lower case letters, digits or hyphens and begin with a letter, for example fleetgate."
  }
}
