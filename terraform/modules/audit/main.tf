locals {
  account_id = data.aws_caller_identity.current.account_id
  _partition = data.aws_partition.current.partition
  # .id, because .name is deprecated from version 6 of the provider and .region does not exist before it.
  _region    = data.aws_region.current.id
  iot_prefix = "arn:${local._partition}:iot:${local._region}:${local.account_id}"

  function_name = "${var.prefix}-audit"
}
