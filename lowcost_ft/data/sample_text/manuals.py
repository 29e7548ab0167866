"""Pages of the shop's manuals, fact by fact: what a page says, and what customers ask about it.

A fact has sentences with one ``{answer}``, questions, and values for the answer. ``{d}`` to
``{ddd}`` are numbers of one to three digits, ``{thing}`` is the product. The last of the sentences
and questions of a fact are used by validation and test alone.
"""

__all__ = ["FACTS", "FILLERS", "PRODUCTS"]

PRODUCTS = {
    "train": (
        *("desk lamp", "kettle", "toaster", "floor lamp", "hand mixer", "coffee grinder", "fan"),
        *("reading light", "juicer", "rice cooker", "bathroom scale", "alarm clock", "humidifier"),
        *("hair dryer", "bike light", "camping stove", "air pump", "label printer", "headphones"),
        *("keyboard", "doorbell", "garden hose reel", "bread maker", "slow cooker", "tool box"),
        *("steam iron", "wall shelf", "office chair", "folding table", "travel pillow", "radio"),
        *("picture frame", "mirror", "laundry rack", "step ladder", "tent", "suitcase", "backpack"),
    ),
    "validation": (
        "espresso maker",
        "night light",
        "baby monitor",
        "hammock",
        "webcam",
        "cool box",
    ),
    "test": (
        *("waffle iron", "blender", "ceiling lamp", "electric blanket", "speaker", "drying rack"),
        *("bird feeder", "smoke alarm", "standing desk", "flask"),
    ),
}

FACTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "warranty": (
        (
            "The warranty for the {thing} runs for {answer} from the day of purchase.",
            "We repair the {thing} free of charge within {answer} of purchase.",
            "Should it fail within {answer}, we replace the {thing} at no cost.",
        ),
        (
            "How long is the warranty?",
            "For how long is a repair of the {thing} free?",
            "Until when would you replace it?",
        ),
        ("one year", "two years", "three years", "{dd} months", "five years"),
    ),
    "weight": (
        (
            "It weighs {answer} without its packaging.",
            "The {thing} has a weight of {answer}.",
            "On the scales it comes to {answer}.",
        ),
        ("How much does the {thing} weigh?", "What is its weight?", "How heavy is it?"),
        ("{ddd} grams", "{d}.{d} kg", "{d} kilograms", "about {ddd} g"),
    ),
    "cleaning": (
        (
            "Clean the surface with {answer} and let it dry.",
            "To clean the {thing}, use {answer} only.",
            "Dirt comes off best with {answer}.",
        ),
        (
            "What should I clean the {thing} with?",
            "How do I clean it?",
            "What takes the dirt off?",
        ),
        ("a damp cloth", "a soft brush", "warm water and a little soap", "a dry cotton cloth"),
    ),
    "storage": (
        (
            "Store it {answer} when it is not in use.",
            "Between uses the {thing} should be kept {answer}.",
            "The right place for it is {answer}.",
        ),
        (
            "Where should I store it?",
            "Where should the {thing} be kept between uses?",
            "What is the right place for the {thing}?",
        ),
        ("in a dry room", "away from sunlight", "in its original box", "below {dd} degrees"),
    ),
    "material": (
        (
            "The body is made of {answer}.",
            "Its parts are of {answer}, which can be recycled.",
            "For the outside we chose {answer}.",
        ),
        (
            "What is the body of the {thing} made of?",
            "Which material is it?",
            "What did you choose for the outside?",
        ),
        ("brushed steel", "recycled plastic", "beech wood", "aluminium", "glass and cork"),
    ),
    "spare parts": (
        (
            "Spare parts can be ordered {answer}.",
            "If a part is lost, get a new one {answer}.",
            "We send replacements for missing screws if you ask {answer}.",
        ),
        (
            "Where can I order spare parts?",
            "A part is lost: where do I get a new one?",
            "Where do I ask for missing screws?",
        ),
        ("on page {dd} of our catalogue", "by phone", "in any of our shops", "on our website"),
    ),
    "first use": (
        (
            "Before the first use, {answer}.",
            "When you have unpacked the {thing}, {answer}.",
            "The very first step: {answer}.",
        ),
        (
            "What must I do before the first use?",
            "What comes after unpacking the {thing}?",
            "What is the very first step?",
        ),
        (
            "remove all films and stickers",
            "let it stand for {dd} minutes",
            "tighten the four screws",
            "wipe all parts dry",
        ),
    ),
    "colours": (
        (
            "It is available in {answer}.",
            "You can buy the {thing} in {answer}.",
            "This year we make it in {answer}.",
        ),
        (
            "In which colours is it available?",
            "What colours can I buy the {thing} in?",
            "Which colours do you make this year?",
        ),
        ("black and white", "red, green and blue", "grey", "five colours", "sand and dark blue"),
    ),
    "help": (
        (
            "If something does not work, call us {answer}.",
            "Our team answers questions about the {thing} {answer}.",
            "Somebody is on the phone for you {answer}.",
        ),
        (
            "When can I call you?",
            "When does your team answer questions about the {thing}?",
            "When is somebody on the phone?",
        ),
        ("from Monday to Friday", "between 9 am and {d} pm", "every day", "on weekdays until noon"),
    ),
    "disposal": (
        (
            "At the end of its life, take it {answer}.",
            "An old {thing} belongs {answer}.",
            "When you no longer need it, bring it {answer}.",
        ),
        (
            "Where do I take it at the end of its life?",
            "Where does an old {thing} belong?",
            "Where do I bring it when I no longer need it?",
        ),
        ("to a recycling centre", "back to the shop", "to the collection point of your town"),
    ),
}
"""Fact -> sentences, questions, and values of the answer."""

FILLERS = (
    "Thank you for buying the {thing}.",
    "Please read this page before you use the {thing}.",
    "Keep this page for later.",
    "Children should use the {thing} only while an adult is in the room.",
    "The pictures may differ from what you have bought.",
    "All figures are those of the current model.",
)
