# Nothing about endpoints: the environment says where AWS is (AWS_ENDPOINT_URL), so AWS and the embedded cloud get one text.
provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  # Credentials come from the environment or a profile. Asking an instance's metadata service only makes a mistake in them
  # show late, as a time-out.
  skip_metadata_api_check = true

  default_tags {
    tags = var.tags
  }
}
