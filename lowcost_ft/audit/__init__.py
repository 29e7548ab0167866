"""Whether a trained model treats groups of people alike: the same texts about other people."""
