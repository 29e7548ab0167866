"""Sentences of a small shop and its customers, in English and French.

A sentence has one thing, and some have a colour, a day, a city or a number. Slots of the English
sentence: ``{thing}``, ``{a}`` (a thing with its article), ``{colour}``,
``{day}``, ``{city}``, ``{order}``, ``{euros}``, ``{few}`` (a small number). Slots of the French one
are named after the form for a masculine word: ``{le}``, ``{un}``, ``{mon}``, ``{votre}``, ``{ce}``,
``{du}``, ``{cet_autre}`` (another one), ``{il}``, ``{bleu}`` (the colour, as the
thing's gender wants it), ``{colour}`` (as a noun), ``{un_seul}`` (one of that colour), ``{e}`` (the
ending of a feminine participle).
"""

__all__ = ["CITIES", "COLOURS", "DAYS", "FEW", "SENTENCES", "THINGS"]

THINGS: tuple[tuple[str, str, str], ...] = (
    ("lamp", "lampe", "f"),
    ("chair", "chaise", "f"),
    ("desk", "bureau", "m"),
    ("table", "table", "f"),
    ("kettle", "bouilloire", "f"),
    ("sofa", "canapé", "m"),
    ("shelf", "étagère", "f"),
    ("mirror", "miroir", "m"),
    ("carpet", "tapis", "m"),
    ("clock", "horloge", "f"),
    ("bag", "sac", "m"),
    ("umbrella", "parapluie", "m"),
    ("oven", "four", "m"),
    ("pillow", "oreiller", "m"),
    ("bed", "lit", "m"),
    ("cupboard", "armoire", "f"),
    ("toaster", "grille-pain", "m"),
    ("radio", "radio", "f"),
    ("phone", "téléphone", "m"),
    ("screen", "écran", "m"),
    ("printer", "imprimante", "f"),
    ("bottle", "bouteille", "f"),
    ("blanket", "couverture", "f"),
    ("jacket", "veste", "f"),
)
"""English, French, gender."""

COLOURS = (
    ("blue", "bleu", "bleue"),
    ("green", "vert", "verte"),
    ("black", "noir", "noire"),
    ("white", "blanc", "blanche"),
    ("grey", "gris", "grise"),
    ("red", "rouge", "rouge"),
    ("yellow", "jaune", "jaune"),
)
"""English, French masculine and feminine."""

DAYS = (
    *(("Monday", "lundi"), ("Tuesday", "mardi"), ("Wednesday", "mercredi")),
    *(("Thursday", "jeudi"), ("Friday", "vendredi"), ("Saturday", "samedi")),
)
CITIES = ("Paris", "Lyon", "Lille", "Nice", "Berlin", "Madrid", "Rome", "Oslo")
FEW = (("two", "deux"), ("three", "trois"), ("four", "quatre"), ("five", "cinq"), ("six", "six"))

SENTENCES: tuple[tuple[str, str], ...] = (
    ("Where is my {thing}?", "Où est {mon} ?"),
    ("I ordered {a} on {day}.", "J'ai commandé {un} {day}."),
    ("The {thing} arrived broken.", "{Le} est arrivé{e} cassé{e}."),
    ("I would like to return the {thing}.", "Je voudrais renvoyer {le}."),
    ("Do you have this {thing} in {colour}?", "Avez-vous {ce} en {colour} ?"),
    ("How much does the {thing} cost?", "Combien coûte {le} ?"),
    ("The {colour} {thing} is out of stock.", "{Le} {bleu} est en rupture de stock."),
    ("Please send the {thing} to {city}.", "Veuillez envoyer {le} à {city}."),
    ("Your {thing} will arrive on {day}.", "{Votre} arrivera {day}."),
    ("We have sent you another {thing}.", "Nous vous avons envoyé {cet_autre}."),
    ("The {thing} costs {euros} euros.", "{Le} coûte {euros} euros."),
    ("I paid for the {thing} twice.", "J'ai payé {le} deux fois."),
    ("Can I exchange the {thing} for a {colour} one?", "Puis-je échanger {le} contre {un_seul} ?"),
    ("My {thing} no longer works.", "{Mon} ne fonctionne plus."),
    ("The manual of the {thing} is missing.", "Le mode d'emploi {du} manque."),
    ("Is the {thing} still under warranty?", "{Le} est-{il} encore sous garantie ?"),
    ("We will repair your {thing} in {city}.", "Nous réparerons {votre} à {city}."),
    (
        "I never received the {thing} from order {order}.",
        "Je n'ai jamais reçu {le} de la commande {order}.",
    ),
    (
        "Please cancel order {order} for the {thing}.",
        "Veuillez annuler la commande {order} pour {le}.",
    ),
    ("The {thing} is too small for my room.", "{Le} est trop petit{e} pour ma chambre."),
    (
        "The delivery of the {thing} to {city} takes {few} days.",
        "La livraison {du} à {city} prend {few} jours.",
    ),
    (
        "You can pick up the {thing} in our shop on {day}.",
        "Vous pouvez retirer {le} dans notre magasin {day}.",
    ),
    ("The price of the {thing} has gone up.", "Le prix {du} a augmenté."),
    ("I need the {thing} in {few} days.", "J'ai besoin {du} dans {few} jours."),
    ("The driver left the {thing} in {city}.", "Le livreur a laissé {le} à {city}."),
    ("Thank you, the {thing} looks great.", "Merci, {le} est magnifique."),
    ("We refunded the {thing} on {day}.", "Nous avons remboursé {le} {day}."),
    (
        "The colour of the {thing} is not the one in the picture.",
        "La couleur {du} n'est pas celle de la photo.",
    ),
)
"""English and French."""
