variable "build" {
  description = "Folder that fleetgate render has compiled for this team's environment, for example ../../build/orchard."
  type        = string
  nullable    = false
}

variable "claim_certificate_ids" {
  description = "Ids of the claim certificates that the team's devices are delivered with."
  type        = list(string)
  nullable    = false
}

variable "device_types" {
  description = "Names of the device types of the catalogue that this team has."
  type        = set(string)
  default     = ["temperature-sensor"]
  nullable    = false
}

variable "parent_group_name" {
  description = "Name of the thing group that the team has already and its devices belong under."
  type        = string
  nullable    = false
}

variable "site" {
  description = "Where the devices stand; every thing gets it as an attribute."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.,@/:#=-]{1,800}$", var.site))
    error_message = "site must be 1 to 800 letters, digits or any of _ . , @ / : # = -, for example orchard-north."
  }
}
