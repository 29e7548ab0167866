"""Settings as frozen dataclasses: flags, bounds and checks; the tables of methods and tasks."""
