"""How the score of a trained model falls on texts with mistakes: by chance, and at worst."""
