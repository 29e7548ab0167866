"""The embedded sample of translations: English and French sentences about a small shop.

As the other samples, it is the same in every Python version, since `random.Random(seed).random()`
alone is drawn from.
"""

from random import Random
from typing import Any

from lowcost_ft.data.sample import pick
from lowcost_ft.data.sample_text.translations import (
    CITIES,
    COLOURS,
    DAYS,
    FEW,
    SENTENCES,
    THINGS,
)

__all__ = ["sample_translations"]

_ROWS = {"train": 300, "validation": 40, "test": 80}
_SEED = 20243
_VOWELS = "aeiouéèêh"


def sample_translations() -> dict[str, list[dict[str, Any]]]:
    """The sample by split: rows with `id`, `source` (English) and `target` (French).

    Every sentence and every thing occurs in training; which thing stands in which sentence differs
    from split to split, so that translating a test row takes more than remembering one.
    """
    rng = Random(_SEED)
    pairs = [(sentence, thing) for sentence in SENTENCES for thing in THINGS]
    pairs.sort(key=lambda _: rng.random())
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, count in _ROWS.items():
        taken, pairs = pairs[:count], pairs[count:]
        rows[split] = [
            {"id": f"{split}-{number}"} | _filled(rng, *pair)
            for number, pair in enumerate(taken, 1)
        ]
    return rows


def _filled(rng: Random, sentence: tuple[str, str], thing: tuple[str, str, str]) -> dict[str, str]:
    english, french, gender = thing
    feminine = gender == "f"
    colour, masculine_colour, feminine_colour = pick(rng, COLOURS)
    day, french_day = pick(rng, DAYS)
    few, french_few = pick(rng, FEW)
    same = {
        "city": pick(rng, CITIES),
        "order": str(10000 + int(rng.random() * 90000)),
        "euros": str(10 + int(rng.random() * 190)),
    }
    source = sentence[0].format(
        thing=english,
        a=f"{'an' if english[0] in 'aeiou' else 'a'} {english}",
        colour=colour,
        day=day,
        few=few,
        **same,
    )
    vowel = french[0] in _VOWELS
    le = f"l'{french}" if vowel else f"{'la' if feminine else 'le'} {french}"
    own_colour = feminine_colour if feminine else masculine_colour
    un = "une" if feminine else "un"
    mon = f"{'ma' if feminine and not vowel else 'mon'} {french}"
    target = sentence[1].format(
        le=le,
        Le=le[0].upper() + le[1:],
        un=f"{un} {french}",
        mon=mon,
        Mon=mon.capitalize(),
        votre=f"votre {french}",
        Votre=f"Votre {french}",
        ce=f"{'cette' if feminine else 'cet' if vowel else 'ce'} {french}",
        du=f"du {french}" if le.startswith("le ") else f"de {le}",
        cet_autre=f"{un} autre {french}",
        il="elle" if feminine else "il",
        bleu=own_colour,
        colour=masculine_colour,
        un_seul=f"{un} {own_colour}",
        e="e" if feminine else "",
        day=french_day,
        few=french_few,
        **same,
    )
    return {"source": source, "target": target}
