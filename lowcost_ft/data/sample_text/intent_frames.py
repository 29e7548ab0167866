"""What stands around an intent's phrase: openers, closers, side remarks, and the things named."""

__all__ = ["AMBIGUOUS", "CLOSERS", "FILLERS", "OPENERS", "REMARKS", "WEIGHTS"]

# How often each intent occurs, in rows out of a hundred.
WEIGHTS = {
    "order_status": 12,
    "return_item": 9,
    "refund": 9,
    "cancel_order": 8,
    "change_address": 7,
    "damaged_item": 9,
    "product_question": 11,
    "payment_problem": 8,
    "invoice": 6,
    "complaint": 8,
    "opening_hours": 6,
    "voucher": 7,
}

FILLERS = {
    "item": (
        "kettle|desk lamp|wool blanket|rain jacket|teapot|rucksack|bread knife|garden chair|"
        "picture frame|pair of slippers|coffee grinder|bath towel set|bookshelf|jumper|wall clock|"
        "cast-iron pan|yoga mat|parasol|set of mugs|doormat"
    ),
    "kitchen": ("kettle|teapot|set of mugs|cast-iron pan|coffee grinder|bread knife"),
    "electric": "kettle|desk lamp|coffee grinder|wall clock",
    "textile": ("jumper|wool blanket|rain jacket|bath towel set|rucksack|pair of slippers"),
    "order": ("A-1042|order 20881|#55120|order no. 3317|#B-0907|order 71-448|the last order"),
    "when": (
        "last week|on Monday|two days ago|yesterday|at the weekend|on the 3rd|this morning|"
        "ten days ago|in March|on Friday evening|a month ago"
    ),
    "amount": "£12.50|£34|19.99|48 pounds|£7|about sixty pounds|£120",
    "place": "Bristol|Leeds|Norwich|Mill Lane|York|Exeter|Castle Street",
    "day": "Monday|last week|yesterday|the 3rd|Friday|the weekend|last month",
    "relative": "my sister|my mum|a colleague|my son|my neighbour|my flatmate",
}

OPENERS = {
    "train": (
        "Hi,|Hello,|Hi there,|Good morning,|Dear team,|Hello again,|Quick question:|Hey,|"
        "Good afternoon,|To whom it may concern,|Sorry to bother you,|Hi all,"
    ),
    "heldout": ("Hiya,|Evening,|Morning all,|Dear Sir or Madam,|Me again.|One more thing:"),
}

CLOSERS = {
    "train": (
        "Thanks!|Thank you.|Many thanks in advance.|Best wishes|Please let me know.|Cheers|"
        "Kind regards|Looking forward to your reply.|Thanks for your help.|Please advise."
    ),
    "heldout": ("Ta|Much appreciated.|Hope you can help.|Have a nice day|Waiting to hear."),
}

# Remarks that mention an intent without asking for it; a message gets them of other intents only.
REMARKS = {
    "order_status": (
        "The parcel itself came [on time|quickly].",
        "I saw that it was shipped {when}.",
        "The tracking page works fine now.",
        "Delivery took only two days, by the way.",
    ),
    "return_item": (
        "I don't want to send anything back.",
        "I know I could return it within 30 days.",
        "The {item} I sent back has reached you, I believe.",
    ),
    "refund": (
        "The refund from last time arrived, thanks.",
        "I'm not asking for my money back.",
        "You refunded the {item} already, that part is settled.",
    ),
    "cancel_order": (
        "Please don't cancel anything yet.",
        "I cancelled the other order myself.",
        "The order for the {item} is the one I kept, not the cancelled one.",
    ),
    "change_address": (
        "My address is still the same.",
        "I moved to {place} {when} and you already have the new address.",
        "It was delivered to the right house this time.",
    ),
    "damaged_item": (
        "Nothing was broken this time.",
        "The box had a dent but the {item} inside is perfect.",
        "The cracked one was replaced {when}, that's done.",
    ),
    "product_question": (
        "I love the colour of the {item}.",
        "The {item} is bigger than I thought, which is good.",
        "The description on the website was really helpful.",
    ),
    "payment_problem": (
        "The card payment went through [fine|without trouble].",
        "I paid {amount} by card {when}.",
        "Paying was easy.",
    ),
    "invoice": (
        "I have the invoice in front of me.",
        "The receipt is in the box.",
        "I got the bill by email {when}.",
    ),
    "complaint": (
        "Your colleague on the phone was very kind.",
        "I'm not complaining, just asking.",
        "I have always been happy with your service.",
    ),
    "opening_hours": (
        "I know you close at six.",
        "I was in your shop {when} when you opened.",
        "I would have come by on Sunday but you are closed then.",
    ),
    "voucher": (
        "I used my discount code as well.",
        "I bought it in the sale.",
        "It was a gift card purchase.",
    ),
}

# Messages that even a colleague would file under one or the other.
AMBIGUOUS = (
    ("The {item} came broken, I want my money back.", ("damaged_item", "refund")),
    ("The {item} is damaged, how do I send it back?", ("damaged_item", "return_item")),
    ("Where is the {item}? I have asked three times already.", ("order_status", "complaint")),
    ("The {item} is not here. If it isn't sent yet, drop it.", ("order_status", "cancel_order")),
    ("I'd like to return the {item} and get {amount} back.", ("return_item", "refund")),
    ("You charged me the full price, not the sale price.", ("payment_problem", "voucher")),
    ("The bill says {amount} but you took more.", ("invoice", "payment_problem")),
    ("Can I see the {item} in the shop on Sunday?", ("opening_hours", "product_question")),
)
