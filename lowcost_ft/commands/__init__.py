"""The commands of `lowcost-ft`, and recipes as programs."""
