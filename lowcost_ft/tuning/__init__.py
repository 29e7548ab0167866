"""`lowcost-ft tune`: settings tried by successive halving, and the best of them confirmed."""
