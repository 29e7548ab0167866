"""What a run leaves: run.json, its folder, environment, redaction and model card."""
