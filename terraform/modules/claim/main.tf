# From a CSR and never otherwise: without one AWS makes the key pair, and the private key stays in the state for good.
resource "aws_iot_certificate" "this" {
  active = var.active
  csr    = var.csr_pem
}

# Kept when the claim is retired: an inactive certificate cannot connect, whatever it is attached to.
resource "aws_iot_policy_attachment" "this" {
  policy = var.policy_name
  target = aws_iot_certificate.this.arn
}
