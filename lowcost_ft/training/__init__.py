"""The loop, its steps, checkpoints, recovery and sharding."""
