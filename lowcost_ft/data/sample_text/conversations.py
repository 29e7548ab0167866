"""Conversations of a small shop's assistant with customers, turn by turn.

``{thing}`` is the product, ``{order}`` a number, ``{name}`` the customer. The last of several ways
in which a customer says something is used by validation and test alone.
"""

__all__ = ["GOODBYES", "NAMES", "SYSTEM", "TOPICS"]

SYSTEM = (
    "You are the assistant of a small shop. Ask for the order number first, then answer in one or "
    "two sentences."
)
"""What the assistant is told beforehand."""

NAMES = ("Anna", "David", "Maria", "Chen", "Omar", "Lucy", "Piotr", "Ines", "Tom", "Aisha")

TOPICS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        (
            "I want to send the {thing} back.",
            "How do I return my {thing}?",
            "The {thing} is not for me after all, can you take it back?",
        ),
        "I am sorry that the {thing} does not suit you. What is your order number?",
        "Thank you, {name}. You can return the {thing} of order {order} within 30 days; the label "
        "is in your mail.",
    ),
    (
        (
            "Where is my {thing}?",
            "My {thing} has not arrived yet.",
            "I keep waiting for the {thing} that I bought.",
        ),
        "Let me look for the {thing}. What is your order number?",
        "Thank you, {name}. Order {order} with the {thing} left us yesterday and takes three days.",
    ),
    (
        (
            "The {thing} arrived broken.",
            "There is a crack in my {thing}.",
            "I opened the box, and the {thing} was in pieces.",
        ),
        "I am sorry about the broken {thing}. What is your order number?",
        "Thank you, {name}. We send you a new {thing} for order {order} today, and you can keep "
        "the old one.",
    ),
    (
        (
            "You charged me twice for the {thing}.",
            "I paid two times for one {thing}.",
            "My bank shows the price of the {thing} twice.",
        ),
        "I will check the payment for the {thing}. What is your order number?",
        "Thank you, {name}. We send one payment for order {order} back within five working days.",
    ),
    (
        (
            "I would like to cancel the {thing}.",
            "Please stop the order of the {thing}.",
            "I have changed my mind and do not need the {thing}.",
        ),
        "I can cancel the {thing} if it is still here. What is your order number?",
        "Thank you, {name}. Order {order} is cancelled, and you pay nothing for the {thing}.",
    ),
    (
        (
            "The {thing} stopped working.",
            "My {thing} does not work any more.",
            "Nothing happens when I switch the {thing} on.",
        ),
        "I am sorry that the {thing} fails. What is your order number?",
        "Thank you, {name}. The {thing} of order {order} is under warranty for two years, so the "
        "repair is free.",
    ),
    (
        (
            "Can I change the address for the {thing}?",
            "The {thing} should go to another address.",
            "I am moving, so the {thing} must be sent elsewhere.",
        ),
        "I can change where the {thing} goes. What is your order number?",
        "Thank you, {name}. Please write the new address for order {order}; the {thing} waits "
        "until then.",
    ),
)
"""Ways to ask, what the assistant asks back, and its answer once it knows the number."""

GOODBYES = (
    ("Thank you very much!", "You are welcome, {name}. Have a good day!"),
    ("Great, thanks.", "With pleasure, {name}. Good bye!"),
    ("That helps a lot.", "I am glad to hear it, {name}. Until next time!"),
)
