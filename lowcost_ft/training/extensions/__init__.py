"""What a training step does beyond the plain loss: one file for each extension."""
