output "certificate_id" {
  description = "Id of the claim certificate, by which the certificate itself can be fetched."
  value       = aws_iot_certificate.this.id
}
