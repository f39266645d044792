"""`python -m fleetgate` is the `fleetgate` command."""

from fleetgate.cli import main

raise SystemExit(main())
