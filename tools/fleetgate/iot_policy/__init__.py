"""The engine behind `fleetgate lint`, `authorize`, `isolation` and `access-diff`: AWS IoT policies as objects one can ask.

Pure functions over text; nothing here reads a file, prints, or imports anything beyond the standard library. Facts about AWS that
its documentation leaves open are switches in `assumptions`.
"""
