"""Sentences with entities, and some with none, by the split that uses them.

``{person}`` is an entity drawn from the names of the split, ``{person:May}`` one with a fixed
text; ``{past}`` and ``{future}`` are dates with their preposition, ``{since}`` a past one without;
``{courier}``, ``{bank}`` and ``{firm}`` are organisations;
``{thing}`` and the other fillers are never entities.

What counts: titles ("Ms") lie outside a person; a house number belongs to the place; a brand with
its article is a product ("Hunter boots"), the firm alone an organisation ("Hunter"), the bare noun
("boots") nothing; a clock time, a ticket, article, invoice or phone number is nothing.
"""

__all__ = ["GREETINGS", "SENTENCES", "SIGN_OFFS"]

GREETINGS = {
    "train": (
        "Hi,|Hello,|Hi {person},|Dear {person},|Dear Sir or Madam,|Good morning {person},||||Hey,|"
        "Hello {firm} team,|Dear Ms {person:Flood},|Dear Mr {person:Hughes},"
    ),
    "heldout": ("Evening {person},|@{person}|Hiya,||||Dear {person} and {person},|For {person}:"),
}

SIGN_OFFS = {
    "train": (
        "Thanks, {person}|Regards, {person}||||||Best wishes|Many thanks|{person}|Cheers, {person}|"
        "Kind regards, {person}, {place}|Thank you!|{person}, phone {phone}"
    ),
    "heldout": (
        "Ta, {person}|{person} ({phone})|||||{person} from {place}|x {person}|Sent by {person}"
    ),
}

SENTENCES = {
    "train": (
        "I ordered the {product} {past} and it still isn't here.",
        "My order number is {order_number}.",
        "[It's about|This concerns] order {order_number}.",
        "[Where is|What happened to] {order_number}? It should have come {past}.",
        "The {product} arrived broken {past}.",
        "{courier} says the parcel was left with {person} in {place}.",
        "{courier} tried to deliver to {place} but nobody was in.",
        "You charged me {money} instead of {money} for the {product}.",
        "I paid {money} through {bank} {past}.",
        "Please send it to {place} instead.",
        "I spoke to {person} [in the {place} shop|from your {place} branch|on the phone] {past}.",
        "Your colleague {person} promised me a refund of {money}.",
        "Can {person} pick up the {product} in {place} {future}?",
        "We moved to {place} {past}.",
        "Do you have the {product} in the {place} branch?",
        "Is the shop in {place} open {future}?",
        "The tracking from {courier} has not changed since {since}.",
        "The refund of {money} has not reached my {bank} account.",
        "I'd like to return the {product} and the {product} from {order_number}.",
        "My [daughter|son|husband|friend] {person} gave me the {product}.",
        "{person} from {firm} told me to ask you.",
        "Please change the name on the invoice to {firm}.",
        "Does the {product} really cost {money}?",
        "I live in {place}, so shipping should be {money}.",
        "Please cancel {order_number}, I found the {product} for {money} in {place}.",
        "The gift is for {person}, [her|his] birthday is {future}.",
        "{person} was very rude to me {past}.",
        "{past} I was in {place} and saw the {product} in your window.",
        "It was bought with a card from {bank}.",
        "I have two orders, {order_number} and {order_number}, please put them together.",
        "Is {courier} still your courier for {place}?",
        "{bank} refused the payment of {money}.",
        "{product} for {money}, is that right?",
        "Ask {person}, [she|he] saw it {past}.",
        "{person} and {person} share the {product}.",
        "The courier was {courier}, not {courier}.",
        "{order_number}, {product}, paid {past}: still nothing.",
        "According to {person} the {product} is made by {firm}.",
        "{person}'s [parcel|order] went to {place} by mistake.",
        "If you mention {order_number}, {courier} will know.",
        "Is {person} in {future}? [She|He] has my {product}.",
        "Got an email from {bank} about {money}.",
        "In {place} the {product} is only {money}.",
        "Shall I come to {place} {future} or does {person} come to me?",
        "{courier} wants {money} for customs, why?",
        "I work for {firm} in {place}.",
        # Nothing to find, or words and numbers that look like something else.
        "The {thing} is too small for me, and the boots are too big.",
        "I ordered {count} of them in size 42.",
        "Your ticket {ticket} is still open.",
        "You can reach me on {phone} after {time}.",
        "May I return the {thing} without the box?",
        "The next one you sent was [orange|rose], not red.",
        "Article {article} looks different in the shop.",
        "My invoice no. {ticket} has a mistake.",
        "I am really not happy with this.",
        "What time do you open, {time}?",
        "Will {relative} be able to collect the {thing} at {time}?",
        "It's 40 cm wide and weighs 3 kg.",
        "I've been reading your page but can't find it.",
        "An apple fell on the {thing} and broke it.",
        "Please bill the whole thing to me, not to {relative}.",
        "They march in, take a look and leave.",
        "Is the {thing} made of oak or of pine?",
        "These days nobody answers, I waited ten days.",
        "He lives next door, in number 6.",
        "My phone number is {phone}.",
        "The code {ticket} from your text does not work.",
        "Customer number {ticket}, in case you need it.",
        "The morning post brought the wrong {thing}.",
        "Could you give me some grace with the payment? I hope so.",
        # One word, several meanings.
        "May I speak to {person:May}?",
        "{person:Paris} lives in {place:Paris} now, so send it there.",
        "The {product:Hunter boots} are faulty and {organisation:Hunter} doesn't answer.",
        "I got the {product:Apple charger}, {organisation:Apple} itself was sold out.",
        "It may arrive in {date:May}, said {person}.",
        "{organisation:Orange} sent me an orange envelope.",
        "{person:Lincoln} picked it up in {place:Lincoln} {past}.",
        "Next week the {organisation:Next} van comes, I was told.",
    ),
    "validation": (
        "{order_number} was meant to be here {past}, {courier} claims.",
        "Could you ask {person} whether the {product} is back {future}?",
        "For {money} I expect more from the {product}.",
        "Mine is the parcel with {order_number} on it, going to {place}.",
        "{person} and I were both in {place} when {courier} rang.",
        "My bank, {bank}, shows {money} twice.",
        "We open the café in {place} {future} and need {count} more by then.",
        "Not the {product}, the other one for {money}.",
        "I washed the heather-coloured {thing} and it faded.",
        "There is a gap of {count} cm under the {thing}.",
        "{person:April} said it will take until {date:April}.",
        "Reference {ticket} from your help desk, call me at {time}.",
        "The winter in {place} was too much for the {product}.",
        "Please tell {courier} that number {count} is the red door.",
    ),
    "test": (
        "{product}, {money}, bought {past}: broken already.",
        "Apparently {person} signed for it, but there's no {person} in {place}.",
        "{order_number} or {order_number}, whichever ships first.",
        "Since {since} I've been chasing {courier}, they blame you.",
        "The lady at {firm} reckons {person} never called.",
        "Had it been the {product} I'd have kept it.",
        "Got {money} back out of {money}, why?",
        "{place} to {place} can't take {courier} ten days.",
        "{person}'s {product} is nicer than mine.",
        "It was {past} that {person} dropped the {product} off at {courier}.",
        "Hand it to {person} next door if I'm out {future}.",
        "Any chance of the {product} for under {money}?",
        "Am I right that {firm} owns the shop in {place}?",
        "My flatmate is called {person}, same name as on {order_number}.",
        "Quote {order_number} when you talk to {courier}, says {person}.",
        "Will you be at the fair in {place} {future} with the {product}?",
        "{courier}'s driver, a certain {person}, left it in the rain.",
        "Off to {place} {future}, so please hurry.",
        "The {thing} came via {courier}, the {product} never did.",
        "Take the {money} off what {person} owes.",
        "You did say {future}, didn't you?",
        "{place}, that's where {person} is these days.",
        # Nothing to find.
        "We will deal with it on our own, no hurry.",
        "I hope the {thing} has no more than {count} holes.",
        "That sandwich on your counter was great by the way.",
        "Code {ticket} came by text, it expires at {time}.",
        "Meter reading {ticket}, no idea why you ask.",
        "The target is {count} by {time}, if you can manage.",
        "A brook runs behind the house, hence the wet {thing}.",
        "Nationwide delivery means everywhere, no?",
        "Call {phone} or knock on 12.",
        "Model {article} is {count} times heavier.",
        # One word, several meanings.
        "{person:Zara} bought the {product:Zara coat} at {organisation:Zara}.",
        "{person:Will} will call you {future}.",
        "{person:June} wants it in {date:June}, not in {date:August}.",
        "From {place:Austin} with love, {person:Austin}",
        "It's a deal: {money} and you post it to {place:Deal}.",
        "{person:Sterling} paid {money} in sterling.",
        "The {product:Virginia creeper} for {person:Virginia} died {past}.",
        "Virgin wool, it says, but {organisation:Virgin} doesn't make any.",
    ),
}
