variable "description" {
  description = "What the device type is, as people read it in the console."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.description) >= 1 && length(var.description) <= 2028 && !can(regex("\\p{C}", var.description))
    error_message = "description must be 1 to 2028 printable characters on one line, for example \"Battery powered temperature sensor\"."
  }
}

variable "group_name" {
  description = "Name of the thing group that the type's devices join."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9:_-]{1,128}$", var.group_name))
    error_message = "group_name must be 1 to 128 letters, digits, colons, underscores or hyphens, for example temperature-sensor-devices."
  }
}

variable "parent_group_name" {
  description = "Name output of the thing group above this type's group."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9:_-]{1,128}$", var.parent_group_name))
    error_message = "parent_group_name must be 1 to 128 letters, digits, colons, underscores or hyphens, for example provisioned-devices."
  }
}

variable "policy" {
  description = "JSON document of the IoT policy that each of the type's devices gets."
  type        = string
  nullable    = false

  validation {
    condition     = can(jsondecode(var.policy).Statement)
    error_message = "policy must be a JSON policy document with a Statement, for example {\"Version\": \"2012-10-17\", \"Statement\": [...]}."
  }

  validation {
    condition     = length(replace(var.policy, "/\\s/", "")) <= 2048
    error_message = "policy must have at most 2048 characters without white space; shorten it, for example by merging statements that differ only in their resources."
  }
}

variable "policy_name" {
  description = "Name of the IoT policy that each of the type's devices gets."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{1,128}$", var.policy_name))
    error_message = "policy_name must be 1 to 128 letters, digits or any of _ + = , . @ -, for example fleetgate-temperature-sensor."
  }
}

variable "searchable_attributes" {
  description = "Thing attributes that AWS IoT indexes for this type; changing them replaces the thing type."
  type        = set(string)
  default     = ["firmwareVersion", "location", "manufacturer"]
  nullable    = false

  validation {
    condition     = length(var.searchable_attributes) <= 3
    error_message = "searchable_attributes must name at most 3 attributes, for example [\"firmwareVersion\", \"location\", \"manufacturer\"]."
  }

  validation {
    condition     = alltrue([for a in var.searchable_attributes : can(regex("^[a-zA-Z0-9_.,@/:#-]{1,128}$", a))])
    error_message = "searchable_attributes must be 1 to 128 letters, digits or any of _ . , @ / : # - each, for example firmwareVersion."
  }
}

variable "thing_type_name" {
  description = "Name of the thing type."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9:_-]{1,128}$", var.thing_type_name))
    error_message = "thing_type_name must be 1 to 128 letters, digits, colons, underscores or hyphens, for example temperature-sensor."
  }
}
