terraform {
  required_version = ">= 1.11"

  # Where the state lies is an environment's affair: -backend-config="path=..." at init.
  backend "local" {}

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Exactly one, in place of a lock file: that would hold the hashes of the platform it was written on and no other.
      version = "5.100.0"
    }
  }
}
