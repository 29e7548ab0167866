"""What customers write, by intent: phrases that only validation or only test uses.

They are partly more indirect than those of training: the keyword is missing or points elsewhere.
"""

__all__ = ["TEST", "VALIDATION"]

VALIDATION = {
    "order_status": (
        "Do you have a delivery date for {order}?",
        "The courier's page shows nothing for my {item}, has it left your warehouse?",
        "Should the {item} not be here by now?",
        "Any idea which day I need to be at home for the {item}?",
    ),
    "return_item": (
        "Do returns have to be in the original box? It's about the {item}.",
        "I opened the {item} but haven't used it. Will you take it back?",
        "What is your policy on [sending things back|unwanted gifts]?",
        "The label you need for posting the {item} back to you wasn't in the parcel.",
    ),
    "refund": (
        "My return was received {when} according to the tracking. What about the money?",
        "Nothing has been credited to my account for the {item} I returned.",
        "Can you transfer the {amount} to another account? I closed the card.",
        "I was told five working days for the reimbursement, it has been twelve.",
    ),
    "cancel_order": (
        "I clicked twice and now there are two orders. I only want one.",
        "Delivery takes too long for me, so I'd like to withdraw from the order.",
        "Could you stop {order} before it leaves the warehouse?",
        "{relative} bought me the {item} already, so you can forget my order.",
    ),
    "change_address": (
        "The parcel needs to go to a pick-up point, not to my house.",
        "I forgot the flat number when ordering the {item}.",
        "Could {order} be rerouted to {place}?",
        "There is still my old street on the confirmation for the {item}.",
    ),
    "damaged_item": (
        "When I unpacked the {item} a piece fell off.",
        "The {electric} makes a burning smell, I don't dare use it.",
        "Does the guarantee cover a {item} that fell apart?",
        "Half of the {kitchen} is shattered, please send a new one.",
    ),
    "product_question": (
        "How do I clean the {item}?",
        "Would the {item} fit in a cupboard 40 cm deep?",
        "Does the {textile} run large or small?",
        "Are you getting more of the {item} any time soon?",
    ),
    "payment_problem": (
        "The security code from my bank is never accepted.",
        "I transferred {amount} {when} but the order still says unpaid.",
        "Which cards do you take?",
        "The confirm button stays grey after I type my card number.",
    ),
    "invoice": (
        "Our accounting needs a proper document for {order}.",
        "Please reissue the bill with the address of my firm.",
        "Is there a paper copy of the receipt? I threw mine away.",
        "The PDF attached to the confirmation is empty.",
    ),
    "complaint": (
        "The way I was treated {when} was unbelievable.",
        "I expected better from a shop I've used for years.",
        "The man at the till laughed at my question.",
        "Please pass on that your phone line is a disgrace.",
    ),
    "opening_hours": (
        "Can I still come at half past six?",
        "From when can I collect the {item} in the morning?",
        "Your door was locked {when} at noon. Are the times on the website right?",
        "Which days is the shop in {place} shut?",
    ),
    "voucher": (
        "SPRING15 is refused in the basket.",
        "{relative} gave me a gift card for {amount}, is it good in {place} too?",
        "I signed up for your newsletter but never got the ten percent.",
        "Is there anything off if I buy three of the {item}?",
    ),
}

TEST = {
    "order_status": (
        "It's for {relative}'s birthday on Saturday, will the {item} make it?",
        "I keep looking out of the window for the van. {item}, bought {when}, remember?",
        "The app has said 'out for delivery' for three days [now|running].",
        "Did {order} get lost somewhere?",
        "Your mail said two to three working days and that was {when}.",
        "Nobody rang the bell and no card was left, so where did the {item} go?",
        "Could you look up how far {order} has got?",
    ),
    "return_item": (
        "{relative} already has the same {item}, so ours can go back to you.",
        "The {item} looked different on the website and I won't keep it. What now?",
        "Can a courier pick the {item} up from my house again?",
        "I'm past the thirty days by one day. Would you still accept the {item}?",
        "We ordered two sizes of the {textile} and only keep one.",
        "Could I exchange the {item} for the blue one in your shop?",
        "Where do I drop off the {item} that I no longer want?",
    ),
    "refund": (
        "The {item} has been back in your warehouse since {day} and my balance hasn't changed.",
        "I see that you took the return but kept the {amount}.",
        "You owe me {amount} for the {item}.",
        "I'd rather have the money than a replacement.",
        "Do you also give back the postage I paid for the {item}?",
        "According to your mail {amount} went out {when}; my bank knows nothing about it.",
        "I don't want a credit note, I paid with real money.",
    ),
    "cancel_order": (
        "Never mind the {item}, I don't need it delivered any more.",
        "If {order} has not been packed, please leave it.",
        "My toddler pressed buy on my phone {when}. I never meant to order the {item}.",
        "Can you undo what I ordered {when}?",
        "Three weeks for the {item} is no use to me, so let's call the whole thing off.",
        "I'd like to pull out of the purchase of the {item} before you ship.",
        "Scrap the {item}, please, the rest can come as planned.",
    ),
    "change_address": (
        (
            "We've got the keys to our new house in {place}, so the "
            "{item} would end up at a stranger's."
        ),
        "Can the driver leave the {item} at number 14 rather than 41?",
        "I'm staying with {relative} until the end of the month. Can the {item} come there?",
        "Autofill put in where I lived before, it's about {order}.",
        "Is it possible to have the {item} brought to my shop in {place} rather than home?",
        "You have me down as living in {place}. I haven't for years.",
        "The name of the road is misspelt on {order} and the courier will never find us.",
    ),
    "damaged_item": (
        "I used the {item} exactly once and now it's had it.",
        "The courier must have dropped it: the {electric} rattles and the corner is gone.",
        "The {electric} died on me {when}.",
        "Can I get a spare part? Mine snapped {when}.",
        "There's water coming out at the bottom of the {kitchen}.",
        "The colour of the {textile} came off in the first wash.",
        "The lid doesn't close and the paint is peeling. It's the {kitchen} from {day}.",
    ),
    "product_question": (
        "I'm torn between the {item} and the bigger one, what would you take?",
        "Could {relative} who is allergic to wool use the {textile}?",
        "Will the {item} survive a winter outside?",
        "The page for the {electric} doesn't say how long the cable is.",
        "Before I order: can the {kitchen} go on an open fire?",
        "Is last year's {item} the same as the one you show now?",
        "Do you have the {item} in the shop so that I could try it?",
    ),
    "payment_problem": (
        "My bank shows {amount} two times on the same day.",
        "At the last step it throws me out and the basket is empty.",
        "I got a reminder for {order} although I settled it {when}.",
        "I never bought anything for {amount}, so what is this on my statement?",
        "Could I hand over cash when the {item} is delivered?",
        "Every time I enter the expiry date it goes red.",
        "Did my {amount} reach you? The order is on hold.",
    ),
    "invoice": (
        "My boss only pays me back if I can show what the {item} cost.",
        "I need proof of purchase for the {item} from {day}.",
        "The tax office asks for something with your VAT number on it.",
        "Could the paperwork for {order} be made out to the school?",
        "The document you sent lists the {item} twice, I only bought one.",
        "I can't find anything with the price in the box, and I need it for the warranty.",
        "Where on the website do I find last year's bills?",
    ),
    "complaint": (
        "Your lady on the phone hung up on me {when}.",
        "Is it normal that {relative} gets shouted at in your shop?",
        "I feel completely ignored. Do you even read these?",
        "Well done, you've lost a customer of ten years.",
        "The young man who brought the {item} swore at my neighbour.",
        "So much plastic around one {item}, shame on you.",
        "Who is your boss? I'd like a word with them about {day}.",
    ),
    "opening_hours": (
        "I finish work at seven, would I still find someone in the shop in {place}?",
        "Would I be standing in front of a locked door on Easter Monday?",
        "Is anybody there on Saturday afternoons?",
        "We want to come to {place} early on Sunday to look at the {item}, does that work?",
        "Have you got winter times already?",
        "I'd like to try the {item} in person after nine in the evening, any chance?",
        "How early does the shop in {place} start the day?",
    ),
    "voucher": (
        "It takes the letters but the total for the {item} stays the same.",
        "I paid full price for the {item} although the mail said a fifth less.",
        "The silver strip on the card is scratched and I can't read the number under it.",
        "Do you do anything for teachers or nurses?",
        "WELCOME10 gives me nothing at the till.",
        "I bought the {item} {when} and today it's cheaper. Do I get the sale price?",
        "How long is the present from {relative}, the one with {amount} on it, valid?",
    ),
}
