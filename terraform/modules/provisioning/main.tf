locals {
  account_id = data.aws_caller_identity.current.account_id
  # .id, because .name is deprecated from version 6 of the provider and .region does not exist before it.
  _region    = data.aws_region.current.id
  iot_prefix = "arn:${data.aws_partition.current.partition}:iot:${local._region}:${local.account_id}"

  # The template needs the hook's ARN and the hook checks the template's. The latter is known up front, so there is no cycle.
  template_arn = "${local.iot_prefix}:provisioningtemplate/${var.template_name}"

  hook_name = "${var.prefix}-provisioning-hook"
}

resource "aws_iot_provisioning_template" "this" {
  name                  = var.template_name
  description           = "Claim certificate in, registered device out; the hook ${local.hook_name} decides."
  type                  = "FLEET_PROVISIONING"
  enabled               = true
  provisioning_role_arn = aws_iam_role.provisioning.arn
  template_body         = var.template_body

  pre_provisioning_hook {
    payload_version = "2020-04-01"
    target_arn      = aws_lambda_function.hook.arn
  }

  # A device may register in the very second the template exists: by then AWS IoT must be able to call the hook, and the
  # role must be able to write.
  depends_on = [
    aws_iam_role_policy.provisioning,
    aws_lambda_permission.hook,
  ]
}
