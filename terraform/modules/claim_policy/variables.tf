variable "name" {
  description = "Name of the policy that every claim certificate gets."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{1,128}$", var.name))
    error_message = "name must be 1 to 128 letters, digits or any of _ + = , . @ -, for example fleetgate-claim."
  }
}

variable "policy" {
  description = "JSON document of the policy."
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
