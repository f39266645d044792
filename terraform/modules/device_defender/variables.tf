variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that is told of each audit, as the monitoring module puts it out."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be a topic's ARN, for example arn:aws:sns:eu-west-1:123456789012:fleetgate-alarms."
  }
}

variable "certificate_age_days" {
  description = "From which age a device's certificate is a finding, in days."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.certificate_age_days >= 30 && var.certificate_age_days <= 3652 && floor(var.certificate_age_days) == var.certificate_age_days
    error_message = "certificate_age_days must be a whole number from 30 to 3652, for example 365."
  }
}

variable "day_of_week" {
  description = "Day of the week of the audit; AWS chooses the time."
  type        = string
  default     = "MON"
  nullable    = false

  validation {
    condition     = contains(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], var.day_of_week)
    error_message = "day_of_week must be SUN, MON, TUE, WED, THU, FRI or SAT, for example MON."
  }
}

variable "kms_key_arn" {
  description = "ARN of the topic's key, as the encryption module puts it out."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be a key's ARN, for example arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab."
  }
}

variable "prefix" {
  description = "What the names of the CloudFormation stack, the audit and the roles begin with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.prefix))
    error_message = "prefix must be 1 to 30 lower case letters, digits or hyphens and begin with a letter, for example fleetgate."
  }
}
