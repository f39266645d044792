"""Keeps the garbage collector out of a cold start; the handler imports this module before any other of its own.

Loading botocore and its service model makes a great many objects that all stay. Looking through them for garbage
again and again is about a fifteenth of the time from nothing to a client, and finds none.
"""

import gc

gc.disable()


def over() -> None:
    """Put what is loaded out of the collector's sight for good, and let it work from here on."""
    gc.freeze()
    gc.enable()
