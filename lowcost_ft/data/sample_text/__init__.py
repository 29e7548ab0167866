"""The words of the embedded sample data: phrases, sentences and names, without any logic.

Notation, expanded by `lowcost_ft.data.sample`: ``a|b`` in a pool, or ``[a|b]`` within a phrase,
stands for one of its alternatives (an empty one for nothing); ``{name}`` for an entry of the pool
of that name; ``{d4}`` for a number of four digits.
"""
