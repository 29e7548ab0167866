"""Names of entities by split and type, hardly any of them in two splits.

Words such as Paris, May, Hunter or Skye stand in pools of several types on purpose: only the
sentence tells which is meant. Dates come as ``past`` and ``future`` with their preposition, which
lies outside the entity; organisations as ``courier``, ``bank`` and ``firm``.
"""

__all__ = ["FILLERS", "NAMES"]

NAMES = {
    "train": {
        "person": (
            "Anna|Tom Becker|Priya|James|Okafor|Sarah Lindqvist|Paris|May|Charlotte|Leo Dunne|Ali|"
            "Florence|Jordan|Miguel|Hannah Reyes|T. Hughes|Lincoln|Hunter|Grace|Nadia Petrova|Wei|"
            "Preston|Olu|Clark|Rose|Ivy Marsh|Sam|Victoria|Ben Carter|J. Whitlock|Summer|Ruth|Eve|"
            "Mehmet|Bill|Chelsea|Amit Shah|Penny|Laura|Frank Mason|Georgia|Siobhan|Marek Nowak|"
            "Tunde|Elif Demir|Oscar|Nina|Gareth Pugh|Fatima|Luca Rossi|Dawn|Pat|Jasmine|Lars|"
            "Chinwe|Beth Royle|Yuki|Robin|Flood|A. Kowalski|Duncan|Esther|Ravi|Kim Baxter"
        ),
        "courier": (
            "DHL|Royal Mail|Northway Couriers|Parcelwise|UPS|Hermes|Swift Freight|Marsh Logistics|"
            "Yodel|Hunter Express|Orange Parcels|Clark & Sons|Preston Carriers|Whistl|GLS"
        ),
        "bank": (
            "PayPal|Barclays|Klarna|Visa|Bluebird Bank|Santander|Mastercard|HSBC|"
            "York Building Society|Orange|Jordan Brothers|Apple|Shell|Bath & West Bank|Skipton|"
            "Penny Pay"
        ),
        "firm": (
            "Hunter|Orange|Next|Boots|Fern & Co|Apple|Dyson|Lincoln College|St Mary's School|"
            "Citizens Advice|Rose & Crown|Tesco|Paris Fashion Supplies|Oakham Dental Practice|"
            "The Guardian|eBay|Kent County Council|Happy Paws Kennels|Sky|Georgia Imports|"
            "Meadow Lane Primary|Lidl|Bosun's Cafe|Microsoft|Reading Football Club"
        ),
        "product": (
            "Hunter boots|Aurora desk lamp|Trailmaker 40|Dyson|Kenwood mixer|Orange Blossom candle|"
            "iPhone case|Barbour jacket|Paris tea set|Silvermoon kettle|Apple charger|Fitbit|"
            "Nordic Pan 28|Victoria teapot|Cosy Cub blanket|Florence sofa throw|Apple & Mint tea|"
            "Lincoln armchair|Rose Garden soap|Penny loafers|Rambler 2|Oslo lamp|Chelsea boots|"
            "Summer Breeze diffuser|Harris Tweed scarf|Bialetti|Merino Classic|Lego castle|Thermos|"
            "Grace vase|Little Chef apron|Tefal pan|Robin bird box|Stanley flask|Dawn alarm clock|"
            "Jordan trainers|Fresh Start duvet|Roomba|Sky kite|Hudson 300|Walkman|York dresser"
        ),
        "place": (
            "Bristol|Paris|Leeds|14 Mill Lane|Chelsea|Lincoln|High Street|Norwich|Preston|"
            "Florence|Camden|22B Station Road|Cardiff|York|Orange Grove|Jordan|France|Kent|"
            "Castle Square|Georgia|Victoria Station|Bath|Reading|Sheffield|Germany|"
            "Flat 3, 8 Rose Hill|Whitby|Stoke-on-Trent|Glasgow|Ireland|17 Duncan Close|Ely|Bury|"
            "Newport|Queen's Road|Poland|Unit 2, Marsh Park|Hope Cottage|Lewes|Berlin|"
            "Old Mill, Ford Lane|Kim's Corner"
        ),
        "order_number": (
            "#A-{d4}|A-{d4}|#{d5}|{d5}|{d8}|ORD-{d5}|LF/{d4}|#{d4}|B{d4}|#B-0{d3}|A-{d4}-2|"
            "{d4}-{d4}|2023-{d4}|no. {d5}|{d6}K|WEB {d5}"
        ),
        "past": (
            "on Monday|on 3 May|yesterday|last week|on 12/04/2024|on Friday morning|in May|"
            "on the 14th|on March 3rd|on 2024-03-18|on Saturday|in June|last Sunday|two days ago|"
            "on 21 August|at the end of April|at Christmas|on 5.11.24|on Wednesday|this morning|"
            "a month ago|on the 1st of July|the week before last|on New Year's Day|in early spring|"
            "on Sept 9"
        ),
        "future": (
            "on Monday|on 3 May|tomorrow|next Tuesday|on Friday morning|in May|on the 14th|"
            "on Saturday|next month|at Christmas|on 12/06|today|in July|at the end of April|"
            "on March 3rd|on the last Sunday in October|tonight|before Easter|"
            "on Wednesday evening"
        ),
        "money": (
            "£24.99|£15|15 euros|€40|30 pounds|£7.50|$19|£120|49,90 euros|twelve pounds|£3|"
            "89.00 EUR|fifty quid|£1,250|£64.95|20 dollars|GBP 35|40p|two hundred pounds|a fiver"
        ),
    },
    "validation": {
        "person": (
            "Rebecca|Owen Pryce|Sydney|April|Kofi|Helena Brandt|Carlisle|Heather|Nair|Marco|Joy|"
            "Mark Winter|Yusuf Kaya|Dale|Faith Obi|P. Nolan|Gwen|Stefan|Abby Lowe|Thomas"
        ),
        "courier": ("FedEx|Evri|Carlisle Transport|Winter & Dale|Parcelforce|Heather Express"),
        "bank": ("Halifax|Lloyds|Monzo|Sydney Credit Union|Amazon|Wise"),
        "firm": (
            "Gap|Amazon|Oak Street Surgery|Aldi|Sydney Textiles|Whistles|Redhill Brewery|Samsung|"
            "BBC|Dale Farm"
        ),
        "product": (
            "Heather jumper|Sydney sun lounger|Le Creuset pot|April Showers parasol|Bosch drill|"
            "Halifax chair|Everdry 3|Gap hoodie|Joy perfume|Fjord mug|Playmobil farm|Tempo 200"
        ),
        "place": (
            "Carlisle|Sydney|Halifax|9 Orchard Close|Dundee|Spain|Market Street|Oxford|Winter Hill|"
            "Durham|Amsterdam|31a Park Row|Truro|Wales|Flat 12, Heather Court"
        ),
        "order_number": "#C-{d4}|ORD/{d5}|{d6}|C{d5}|#{d6}|24-{d4}|no. {d6}",
        "past": (
            "on Thursday|on 9 April|on 04/09/2024|in April|the day before yesterday|at Easter|"
            "last night|in mid-May|on 30 Sept|three weeks ago|on Tuesday afternoon"
        ),
        "future": (
            "on Thursday|on 9 April|in April|this Friday|on the 2nd of June|at Easter|in October|"
            "on Monday week|next weekend|on 30 Sept"
        ),
        "money": ("£18.40|€9|75 pounds|$210|12.00 GBP|eighty euros|£2,000|99p|ten quid"),
    },
    "test": {
        "person": (
            "Austin|Savannah|Dwayne Holloway|Ingrid|Bolton|Mercedes|Jasleen Singh|Harper|Skye|"
            "Ngozi|August Lindner|Will|Cooper|Virginia|Zara|Theo van Dijk|Morgan|June|Holly|"
            "Kelechi|Aoife Brennan|Brook|Fairweather|Sterling|Hope|Mo|B. Ferrari|Martin|Sophie|"
            "Rajesh Patel|Emily Stone|Kenji|Daniel|Olga Smirnova|Chris|Megan|Henry Ashdown|Amara|"
            "Simon|Lucy Hart"
        ),
        "courier": (
            "TNT|InPost|Savannah Freight|Skye Logistics|Cooper & Daughters|Target Couriers|"
            "Sterling Deliveries|Nationwide|PostNL|Holly Cabs"
        ),
        "bank": (
            "Revolut|Sterling Bank|American Express|Nationwide|NatWest|Morgan Stanley|Virgin|"
            "Starling|Western Union|Harper & Stone"
        ),
        "firm": (
            "Zara|Virgin|Little Acorns Nursery|Asda|Trading Standards|Nokia|Holly Bush Inn|"
            "Sainsbury's|Hartley Motors|Leeds University|Green Valley Farm|Adidas|Google|"
            "Brook Street School|Stone & Partners|Argos|Target|Which?|Bolton Museum"
        ),
        "product": (
            "Austin bookshelf|Savannah rug|Brook bottle|Zara coat|Mercedes toy car|Moka Express|"
            "Skye blanket|Sterling cufflinks|Cooper bike helmet|Nespresso|Stay Warm Plus|"
            "Denby bowl|June Bug night light|Holly wreath|Kindle|Doc Martens|Hope necklace|"
            "Windsor 550|Nokia|Good Morning mug|Philips iron|Sophie doll|Samsonite suitcase|"
            "Breeze fan|Montana tent|Casio watch|Ember lantern"
        ),
        "place": (
            "Austin|Bolton|Savannah|Skye|7 Cooper Street|Virginia|Inverness|Brook Green|"
            "Holly Lodge|Windsor|Hull|Poole|Deal|Sandwich|Unit 5, Sterling Park|Portugal|Rye|"
            "Church Lane|Derby|Manchester|Brighton|Italy|Edinburgh|London Road|40 Abbey Walk|"
            "Swansea|Cambridge|Exeter|Hope Street|Nottingham"
        ),
        "order_number": (
            "2024-{d5}|#{d3}-{d3}|W{d6}X|no. {d4}|#D-{d4}|{d7}|EX/{d2}/{d3}|ORD-{d4}|SO {d5}"
        ),
        "past": (
            "on Boxing Day|on 6 Aug|on 22.10.24|a fortnight ago|on Good Friday|in August|"
            "last spring|on Thursday evening|on Oct. 9|on Tuesday|on Valentine's Day|at half-term|"
            "the other day|on 2 Feb 2025|on the 31st|last Wednesday|on 10 November|in January|"
            "three days ago"
        ),
        "future": (
            "on Boxing Day|on 6 Aug|on Good Friday|in August|the day after tomorrow|"
            "on Thursday evening|on the first weekend in June|on Tuesday|a week on Friday|"
            "on the 31st|in week 32|next Thursday|on 10 November|in September|this weekend"
        ),
        "money": (
            "£33.10|a tenner|€199,00|USD 45|seventy-five quid|£0.99|60p|three hundred euros|£410|"
            "£8|5 pounds 20|two grand|CHF 30|€14.50|18 pounds|£56.70"
        ),
    },
}

# Never entities, though some look like one.
FILLERS = {
    "thing": (
        "kettle|lamp|apple tart|orange scarf|blanket|teapot|jacket|chair|rucksack|pan|"
        "candle|rug|coat|bottle|wreath|bookshelf"
    ),
    "count": "2|three|4|6|12|20",
    "time": "9 am|5.30 pm|noon|ten o'clock|18:00|half past six|8",
    "phone": "07700 900{d3}|01632 960{d3}|020 7946 0{d3}",
    "ticket": "{d5}|T-{d4}|{d6}|#{d5}",
    "article": "{d4}|{d5}|K{d3}",
    "relative": "my sister|my wife|the neighbour|my boss|a friend|our cleaner",
}
