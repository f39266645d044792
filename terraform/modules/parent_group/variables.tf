variable "description" {
  description = "What the group holds, as people read it in the console."
  type        = string
  default     = "Every device of the fleet; each device type is a child group."
  nullable    = false

  validation {
    condition     = length(var.description) >= 1 && length(var.description) <= 2028 && !can(regex("\\p{C}", var.description))
    error_message = "description must be 1 to 2028 printable characters on one line, for example \"Every device of the fleet\"."
  }
}

variable "name" {
  description = "Name of the thing group that is the parent of each device type's group."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9:_-]{1,128}$", var.name))
    error_message = "name must be 1 to 128 letters, digits, colons, underscores or hyphens, for example provisioned-devices."
  }
}
