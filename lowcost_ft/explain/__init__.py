"""What a trained model's answers rest on: how much each word of a text has to do with them."""
