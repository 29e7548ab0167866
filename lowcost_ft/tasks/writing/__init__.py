"""What tasks have in common whose answer is a text: prompts, the loss of the target, scores."""
