"""fleetgate: AWS IoT Core fleet provisioning and certificate management."""
