"""The commands: each module adds its parsers and holds the thin edge that reads, prints and answers an exit status.

They import what they need when they run: a command that runs on every commit must not pay for the ones that it is
not. `cli.COMMANDS` says which module has which.
"""
