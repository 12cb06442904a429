"""A module beside the entry of the bundle."""

GREETING = "from the bundle"
