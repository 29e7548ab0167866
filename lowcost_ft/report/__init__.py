"""Reports that compare runs: `lowcost-ft report`.

collect -> rows -> advice, tables, plots, details -> sections -> writing. None of it needs PyTorch.
"""
