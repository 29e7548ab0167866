"""From a model's name to a trainable model, to a saved folder, and back."""
