"""What memory an operator needs: a model of the allocators, and measuring."""
