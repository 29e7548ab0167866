"""Sentences with entities that are related, and with some that are not, by split.

Slots as in `entity_sentences`. Beside each sentence stand its relations: `works_for 0 1` joins the
first entity of the sentence, as head, to the second, as tail.
"""

__all__ = ["SENTENCES"]

SENTENCES: dict[str, tuple[tuple[str, str], ...]] = {
    "train": (
        ("{person} from {firm} told me to ask you.", "works_for 0 1"),
        ("I spoke to {person}, who works for {firm}.", "works_for 0 1"),
        ("{person} works at {firm} in {place}.", "works_for 0 1; located_in 1 2"),
        ("At {firm} a certain {person} answers the phone.", "works_for 1 0"),
        ("{firm} sent {person} to fetch the parcel.", "works_for 1 0"),
        ("The {courier} driver, {person}, left it with {person}.", "works_for 1 0"),
        ("{person} lives in {place} now, so send it there.", "lives_in 0 1"),
        ("My [daughter|son|friend] {person} moved to {place} {past}.", "lives_in 0 1"),
        ("In {place}, where {person} lives, nobody rings twice.", "lives_in 1 0"),
        ("{person} is in {place} for the day, {person} lives there.", "lives_in 2 1"),
        ("The {firm} [shop|branch|office] in {place} is closed.", "located_in 0 1"),
        ("{firm}, {place}, wants the invoice {future}.", "located_in 0 1"),
        ("Is {firm} still in {place}, or has it moved to {place}?", "located_in 0 1"),
        ("The {product} belongs to order {order_number}.", "part_of 0 1"),
        ("My order {order_number} has the {product} in it.", "part_of 1 0"),
        (
            "I ordered the {product} and the {product} with {order_number}.",
            "part_of 0 2; part_of 1 2",
        ),
        ("{order_number} came without the {product}, but the {product} was there.", "part_of 2 0"),
        ("The {product} costs {money}.", "costs 0 1"),
        ("I paid {money} for the {product}.", "costs 1 0"),
        (
            "You want {money} for the {product} and {money} for the {product}?",
            "costs 1 0; costs 3 2",
        ),
        ("The {product} is not worth {money}, says {person}.", ""),
        ("{money} is what the {product} costs, {person} paid {money} in all.", "costs 1 0"),
        ("{order_number} was brought by {courier} {past}.", "delivered_by 0 1"),
        ("{courier} delivered {order_number} to {person} in {place}.", "delivered_by 1 0"),
        ("{courier} has {order_number}, not {courier}.", "delivered_by 1 0"),
        ("Is {order_number} with {courier} or with {courier}?", ""),
        ("{person} and {person} were both in {place} {past}.", ""),
        ("{person} asked {bank} about {money}.", ""),
        ("{bank} told {person} nothing about {order_number}.", ""),
        ("I saw the {product} in {place} and told {person}.", ""),
        ("{person} does not work for {firm} any more.", ""),
        ("{order_number} is late, and the {product} is broken.", ""),
        ("{person} called {courier} {past} about the {product}.", ""),
    ),
    "validation": (
        ("{person} of {firm} will pick up the {product}.", "works_for 0 1"),
        ("Ask {person}, {firm} employs her.", "works_for 0 1"),
        ("{person}'s home is in {place}, mine in {place}.", "lives_in 0 1"),
        ("You will find {firm} in {place}, next to {firm}.", "located_in 0 1"),
        ("With {order_number} I got the {product}, not the {product}.", "part_of 1 0"),
        ("For the {product} they took {money}.", "costs 0 1"),
        ("{courier} came with {order_number} {past}.", "delivered_by 1 0"),
        ("{person} knows the {firm} people in {place}.", "located_in 1 2"),
        ("{person} saw {person} with the {product}.", ""),
    ),
    "test": (
        ("According to {person}, a manager at {firm}, it will come {future}.", "works_for 0 1"),
        ("{firm}'s new accountant is called {person}.", "works_for 1 0"),
        ("{person} has a flat in {place}, {person} only visits.", "lives_in 0 1"),
        ("Post it to {place}, {person} lives there with {person}.", "lives_in 1 0; lives_in 2 0"),
        ("Over in {place} there is a {firm} on every corner.", "located_in 1 0"),
        ("{order_number} should hold the {product} as well.", "part_of 1 0"),
        ("They asked {money} for a {product}, {person} told me.", "costs 1 0"),
        ("The van with {order_number} was one of {courier}.", "delivered_by 0 1"),
        ("{person} and {firm} have nothing to do with the {product}.", ""),
        ("Neither {courier} nor {courier} has {order_number}.", ""),
    ),
}
