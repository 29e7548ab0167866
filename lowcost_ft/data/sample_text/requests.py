"""What customers write about an order, in pieces; and what a shop's clerk would note of it.

``{thing}`` is the product, ``{order}`` a number. The last of several ways to say something is used
by validation and test alone.
"""

__all__ = ["CLOSINGS", "FILLERS", "GREETINGS", "ISSUES", "PRODUCTS", "WISHES"]

PRODUCTS = (
    *("desk lamp", "office chair", "kettle", "sofa", "wall shelf", "mirror", "carpet", "clock"),
    *("backpack", "toaster", "radio", "keyboard", "coffee grinder", "tent", "suitcase", "blanket"),
)

GREETINGS = ("Hello,", "Good morning,", "Dear team,", "Hi there,")

ISSUES: dict[str, tuple[str, ...]] = {
    "{Thing} arrived broken": (
        "The {thing} came out of its box with a crack from top to bottom.",
        "When I unpacked the {thing}, a piece of it had broken off.",
        "Sadly the {thing} was in two parts when the driver handed it over.",
    ),
    "{Thing} has not arrived": (
        "I am still waiting for the {thing} of order {order}.",
        "The {thing} should have been here a week ago, and nobody has seen it.",
        "There is no trace of the {thing} that I bought, and the tracking page is empty.",
    ),
    "{Thing} was charged twice": (
        "My bank shows two payments for the one {thing} that I bought.",
        "You took the money for the {thing} twice, on the same day.",
        "The price of the {thing} was taken from my account two times.",
    ),
    "Wrong colour of {thing}": (
        "I ordered the {thing} in blue and got a brown one.",
        "The {thing} is not in the colour that I chose.",
        "Your website says green, but the {thing} in the parcel is grey.",
    ),
    "Parts of {thing} are missing": (
        "Two screws and the manual of the {thing} were not in the box.",
        "I cannot put the {thing} together, since a part is missing.",
        "The bag with the small parts of the {thing} is not there.",
    ),
    "{Thing} stopped working": (
        "After three days the {thing} gave up and does nothing any more.",
        "The {thing} worked for a week, and now it does not.",
        "Since yesterday the {thing} is dead, whatever I press.",
    ),
}
"""What a clerk notes -> ways to say it."""

WISHES: dict[str, tuple[str, ...]] = {
    "wants a refund": (
        "Please send my money back.",
        "I would like to be refunded.",
        "All that I want now is what I paid.",
    ),
    "wants a new one": (
        "Could you send another one?",
        "I would like a replacement.",
        "Just give me one that is all right.",
    ),
    "wants a call": (
        "Please call me about it.",
        "Can somebody phone me this afternoon?",
        "I had rather talk about it on the phone.",
    ),
    "asks for a discount": (
        "I would keep it at a lower price.",
        "Could you take something off the price?",
        "For a part of the money back I would let it be.",
    ),
}
"""What a clerk notes -> ways to say it."""

FILLERS = (
    "I have bought from you for years and was always happy.",
    "My order number is {order}.",
    "It was a present for my sister.",
    "The driver was friendly, I must say.",
    "I have tried your chat, but nobody answered.",
    "We are moving house at the end of the month.",
    "The box itself looked fine.",
    "I found your shop through a friend.",
)

CLOSINGS = ("Thank you in advance.", "Kind regards", "Best wishes", "Thanks!")
