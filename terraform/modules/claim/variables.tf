variable "active" {
  description = "Whether devices can connect with the claim; false retires it without touching devices that are already provisioned."
  type        = bool
  default     = true
  nullable    = false
}

variable "csr_pem" {
  description = "PEM certificate signing request, made where the claim's private key stays."
  type        = string
  nullable    = false

  # On its own, so that whoever pastes a key file is told so, and not merely that the request is malformed.
  validation {
    condition     = !strcontains(var.csr_pem, "PRIVATE KEY")
    error_message = "csr_pem must hold the signing request only, never a private key: whatever stands here is written to the state. Treat that key as lost, make a new one, and pass the file that begins with -----BEGIN CERTIFICATE REQUEST-----."
  }

  validation {
    condition     = can(regex("^-----BEGIN (NEW )?CERTIFICATE REQUEST-----\\r?\\n[A-Za-z0-9+/=\\r\\n]+\\r?\\n-----END (NEW )?CERTIFICATE REQUEST-----\\s*$", var.csr_pem))
    error_message = "csr_pem must be one PEM signing request, for example -----BEGIN CERTIFICATE REQUEST----- and what openssl req -new wrote after it."
  }

  validation {
    condition     = length(var.csr_pem) <= 4096
    error_message = "csr_pem must have at most 4096 characters, for example the request of an RSA key of 2048 bits (about 1000)."
  }
}

variable "policy_name" {
  description = "Name output of the claim policy."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{1,128}$", var.policy_name))
    error_message = "policy_name must be 1 to 128 letters, digits or any of _ + = , . @ -, for example fleetgate-claim."
  }
}
