"""Settings as frozen dataclasses: flags, their bounds and checks, the tables of methods and tasks."""
