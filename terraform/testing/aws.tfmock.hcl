# Believable identifiers for every module's tests. Without them a mock hands out random words, which the provider's own
# ARN checks refuse and which no assertion on a policy could name.

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "123456789012"
    arn        = "arn:aws:iam::123456789012:user/tester"
    user_id    = "AIDAEXAMPLEEXAMPLE123"
  }
}

mock_data "aws_partition" {
  defaults = {
    id         = "aws"
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_region" {
  defaults = {
    id   = "eu-west-1"
    name = "eu-west-1"
  }
}

mock_data "aws_iot_endpoint" {
  defaults = {
    endpoint_address = "a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/mocked"
  }
}

mock_resource "aws_dynamodb_table" {
  defaults = {
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/mocked"
  }
}

mock_resource "aws_iam_role" {
  defaults = {
    arn = "arn:aws:iam::123456789012:role/mocked"
    id  = "mocked"
  }
}

mock_resource "aws_iot_certificate" {
  defaults = {
    arn = "arn:aws:iot:eu-west-1:123456789012:cert/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    id  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  }
}

mock_resource "aws_iot_policy" {
  defaults = {
    arn = "arn:aws:iot:eu-west-1:123456789012:policy/mocked"
  }
}

mock_resource "aws_iot_provisioning_template" {
  defaults = {
    arn = "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/mocked"
  }
}

mock_resource "aws_iot_thing_group" {
  defaults = {
    arn = "arn:aws:iot:eu-west-1:123456789012:thinggroup/mocked"
  }
}

mock_resource "aws_iot_thing_type" {
  defaults = {
    arn = "arn:aws:iot:eu-west-1:123456789012:thingtype/mocked"
  }
}

mock_resource "aws_iot_topic_rule" {
  defaults = {
    arn = "arn:aws:iot:eu-west-1:123456789012:rule/mocked"
  }
}

mock_resource "aws_lambda_function" {
  defaults = {
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:mocked"
  }
}

mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:mocked"
    id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/mocked"
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/mocked"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    arn = "arn:aws:sns:eu-west-1:123456789012:mocked"
  }
}

mock_resource "aws_cloudtrail" {
  defaults = {
    arn = "arn:aws:cloudtrail:eu-west-1:123456789012:trail/mocked"
  }
}

mock_resource "aws_s3_bucket" {
  defaults = {
    arn = "arn:aws:s3:::mocked"
    id  = "mocked"
  }
}
