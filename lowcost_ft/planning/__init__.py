"""What memory a run will need, and settings that fit a budget."""
