"""How much a fleet needs: time of a first-boot storm, service quotas, and cost. Pure; only the command reads and writes files."""
