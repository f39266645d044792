"""`fleetgate drift` against a fleet that somebody has changed by hand."""

from __future__ import annotations


def test_what_is_changed_by_hand_is_told_exactly_apart_from_what_is_not_applied_and_without_a_value(cloud):
    cloud.run("plan")
    saved = (cloud.environment().build / "fleet.tfplan").read_bytes()
    quiet = cloud.run("drift")
    assert quiet.stdout == "" and quiet.stderr == "nothing differs in e2e\n"

    sqs, dynamodb = cloud.client("sqs"), cloud.client("dynamodb")
    queue = sqs.get_queue_url(QueueName="fleetgate-onboarding-dead-letter")["QueueUrl"]
    table = dynamodb.describe_table(TableName=cloud.fleet().names.table)["Table"]["TableArn"]
    retention = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]["MessageRetentionPeriod"]
    # A change of the files that is not applied is told apart.
    cloud.edit("terraform/envs/e2e.yaml", "manage_alarms", "log_retention_days: 400\nmanage_alarms")
    try:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MessageRetentionPeriod": "777"})
        dynamodb.tag_resource(ResourceArn=table, Tags=[{"Key": "Owner", "Value": "somebody-by-hand"}])
        told = cloud.run("drift", status=1)
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MessageRetentionPeriod": retention})
        dynamodb.untag_resource(ResourceArn=table, TagKeys=["Owner"])
        cloud.edit("terraform/envs/e2e.yaml", "log_retention_days: 400\n", "")
    assert told.stdout.splitlines() == [
        "module.audit.aws_cloudwatch_log_group.events differs: retention_in_days (not applied yet)",
        "module.audit.aws_cloudwatch_log_group.function differs: retention_in_days (not applied yet)",
        "module.device_registry.aws_dynamodb_table.this differs: tags.Owner, tags_all.Owner (changed by hand)",
        "module.monitoring.aws_cloudwatch_log_group.census differs: retention_in_days (not applied yet)",
        "module.onboarding.aws_cloudwatch_log_group.this differs: retention_in_days (not applied yet)",
        "module.onboarding.aws_sqs_queue.dead_letter differs: message_retention_seconds (changed by hand)",
        "module.provisioning.aws_cloudwatch_log_group.hook differs: retention_in_days (not applied yet)",
    ]
    assert "777" not in told.stdout + told.stderr and "somebody-by-hand" not in told.stdout + told.stderr
    assert (cloud.environment().build / "fleet.tfplan").read_bytes() == saved


def test_where_it_cannot_be_told_the_answer_is_neither_yes_nor_no(cloud):
    cloud.edit("terraform/envs/e2e.yaml", "region: us-east-1", "region: nowhere")
    try:
        assert cloud.run("drift", status=2).stdout == ""
    finally:
        cloud.edit("terraform/envs/e2e.yaml", "region: nowhere", "region: us-east-1")
