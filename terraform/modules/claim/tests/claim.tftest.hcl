mock_provider "aws" {
  override_during = plan
  source          = "../../testing"
}

variables {
  policy_name = "fleetgate-claim"
  csr_pem     = <<-EOT
    -----BEGIN CERTIFICATE REQUEST-----
    MIICVTCCAT0CAQAwEDEOMAwGA1UEAwwFY2xhaW0wggEiMA0GCSqGSIb3DQEBAQUA
    A4IBDwAwggEKAoIBAQC20jJ1H5QhU9kZ9UYpYUokaEV0063H/7oxqS/f/c1anoN2
    dUgtmXvfMCXrHe7oKHbkX4nfmcEmnUt/ejZblW7bgBW70PvDfZu+/mz3pSCU2KF5
    zVF0k2nUZaQsODljXZj57krJrHN4s3B8U/gUtO4ZlPyr5s0GlR8ur1SB2932yZpe
    l4MK+TH8ePNBfNNgIJy99CkBHzMdLh7eLW6sUglemb/IXNOJOvYpP9l6o+NqLbx7
    GWm5OLKNtiCKSfQzf+8Gs0+hjmSwCk8QBiHdXKl+xPZzlZC0GPPnN+qiERDYG1rJ
    bnkvUp+uozpAyiF5JqsZA1I0XRVOUqy3HWDfv7ptAgMBAAGgADANBgkqhkiG9w0B
    AQsFAAOCAQEAffF6I0PWw0tLrvHeoSSSuCAyEyiUisyyel9fwKXuCsZmvGYu53vF
    Nk1Msjun1VPzDVVyb6aSNg1E8yhn8Izhmi1vHib7G0GJ+klz7DwLLhKjmPG8eFpl
    uvhL5HEoCIt42Hc5da6yp2uOo53ak4+VTEh0kVRjqgpbGpzXpak2f4PciFSecQWN
    kmDr52GpEkZx3ZVBrzV3GOijKXZe0/qG2O73IotoYdZPxr2u+IrnoczEWdQ5rti+
    wKWZShzlSq5VVOc/V0hRC8uwyi8MNRxdQGyn1q/VpMoLaz3yP1r92iY1bGzIKYwP
    YXAN3M4TeXNqqBmteNsSkYUX8yMjlVCbGA==
    -----END CERTIFICATE REQUEST-----
  EOT
}

run "a_claim_is_an_active_certificate_made_from_the_request" {
  command = plan

  assert {
    condition     = aws_iot_certificate.this.active && aws_iot_certificate.this.csr == var.csr_pem
    error_message = "The certificate must be active and come from the signing request."
  }

  assert {
    condition     = aws_iot_certificate.this.certificate_pem != "" && aws_iot_certificate.this.ca_pem == null
    error_message = "The certificate must be issued by AWS IoT, not registered from elsewhere."
  }
}

run "the_claim_holds_the_claim_policy_and_nothing_else" {
  command = plan

  assert {
    condition     = aws_iot_policy_attachment.this.policy == "fleetgate-claim"
    error_message = "The attached policy must be the claim policy."
  }

  assert {
    condition     = aws_iot_policy_attachment.this.target == aws_iot_certificate.this.arn
    error_message = "The policy must be attached to this certificate."
  }
}

run "the_output_is_an_id_and_holds_no_pem" {
  command = plan

  assert {
    condition     = can(regex("^[0-9a-f]{64}$", output.certificate_id))
    error_message = "The output must be the certificate's id."
  }
}

run "a_retired_claim_is_inactive" {
  command = plan

  variables {
    active = false
  }

  assert {
    condition     = !aws_iot_certificate.this.active
    error_message = "active = false must reach the certificate."
  }
}

run "a_private_key_is_refused_even_beside_a_request" {
  command = plan

  variables {
    csr_pem = <<-EOT
      -----BEGIN PRIVATE KEY-----
      AAAA
      -----END PRIVATE KEY-----
    EOT
  }

  expect_failures = [var.csr_pem]
}

run "a_certificate_is_refused_as_a_request" {
  command = plan

  variables {
    csr_pem = <<-EOT
      -----BEGIN CERTIFICATE-----
      AAAA
      -----END CERTIFICATE-----
    EOT
  }

  expect_failures = [var.csr_pem]
}

run "an_empty_request_is_refused_because_aws_would_make_the_key" {
  command = plan

  variables {
    csr_pem = ""
  }

  expect_failures = [var.csr_pem]
}

run "a_request_of_more_than_4096_characters_is_refused" {
  command = plan

  variables {
    csr_pem = format("-----BEGIN CERTIFICATE REQUEST-----\n%04096d\n-----END CERTIFICATE REQUEST-----\n", 0)
  }

  expect_failures = [var.csr_pem]
}

run "a_policy_name_with_a_slash_is_refused" {
  command = plan

  variables {
    policy_name = "fleetgate/claim"
  }

  expect_failures = [var.policy_name]
}
