variable "enabled_events" {
  description = "Registry and job events that AWS IoT publishes in this account and Region; the others are switched off."
  type        = set(string)
  default = [
    "CA_CERTIFICATE",
    "CERTIFICATE",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "THING",
    "THING_GROUP",
    "THING_GROUP_HIERARCHY",
    "THING_GROUP_MEMBERSHIP",
    "THING_TYPE",
    "THING_TYPE_ASSOCIATION",
  ]
  nullable = false

  validation {
    condition     = length(setsubtract(var.enabled_events, local._all_events)) == 0
    error_message = "enabled_events must be names of AWS IoT event types, for example THING or JOB_EXECUTION."
  }

  # Onboarding is driven by thing-created events: without them no device ever gets its shadow.
  validation {
    condition     = contains(var.enabled_events, "THING")
    error_message = "enabled_events must contain THING, for example [\"THING\", \"JOB_EXECUTION\"]."
  }
}
