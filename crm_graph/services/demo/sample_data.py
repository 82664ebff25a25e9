"""The words that the demo's data is made of. Phone numbers are of ranges kept for fiction, domains end in .example."""

from __future__ import annotations

from dataclasses import dataclass


def _each(text: str) -> list[str]:
    return text.split()


FIRST_NAMES = _each("""
    Aaliyah Adele Ahmed Aiko Alba Amara Amir Anders Anouk Ansel Asha Astrid Beatriz Bram Callum Camille Carmen Chidi
    Clara Dalia Daniel Dara Diego Edda Elif Elsa Emeka Enzo Esther Farah Felix Fiona Freja Gabriel Greta Hana Hugo Ida
    Ingrid Isaac Ivo Jana Joaquin Jonas Julia Kaito Karim Katya Kofi Lars Layla Leon Lina Louis Lucia Mads Maeve Malik
    Marta Mateo Mei Mina Nadia Nils Noor Olga Omar Oscar Paula Petra Priya Quentin Rafael Rania Rosa Samuel Sanna Selma
    Sofia Sunil Tariq Tessa Theo Tomas Ursula Vera Victor Wanda Yara Yusuf Zoe
""")
LAST_NAMES = _each("""
    Abara Adler Ahlgren Almeida Anderson Arnaud Ashworth Bajwa Baker Barros Becker Bellamy Berg Bianchi Blom Bouchard
    Brandt Carver Castillo Chen Clarke Costa Dahl Delgado Demir Dubois Eklund Ellis Engel Falk Farouk Fischer Fontaine
    Fraser Garnier Gomes Graham Gupta Haddad Hale Hansen Haque Hayashi Hoffmann Holm Hughes Ibarra Ito Jansen Kaya
    Keller Khan Kimura Klein Kowalski Laurent Lind Lopez Lowe Maas Marino Mbeki Meyer Mohr Moreau Morgan Nakamura Novak
    Nyberg Okafor Olsen Ortega Owusu Palmer Park Patel Pereira Petit Quist Rahman Reyes Richter Rossi Roux Sato Schulz
    Shah Silva Sjoberg Sommer Stone Sundberg Tanaka Torres Vance Vargas Vogel Walsh Weber Winther Wolf Yilmaz Zeller
""")
COMPANY_NAMES = _each("""
    Alder Amberley Anchor Arbour Ashdown Aurora Bayside Beacon Birchwood Blackthorn Bluefin Bramble Brightwater Brook
    Calder Canopy Cedar Clearwater Cobalt Copperfield Coral Crestline Dovetail Eastgate Elmstone Ember Evergreen Fairway
    Falcon Fernhill Firth Foxglove Granite Greenfield Harbourline Hawthorn Hazel Heron Highland Hollybrook Ironbridge
    Juniper Kestrel Keystone Kingfisher Lakeland Lantern Larch Linden Lodestar Longmeadow Lumen Maple Marlow Meridian
    Millstone Moorland Northgate Oakridge Orchard Osprey Pebble Pinecrest Polar Primrose Quarry Quayside Redwood Ridge
    Riverbend Rowan Saffron Sandpiper Seabright Silverline Skylark Solstice Southfield Spindle Starling Stonebridge
    Summit Sycamore Tamarind Thistle Tidewater Timber Upland Verdant Wayfarer Westbrook Whitecap Wildflower Willow
    Windward Woodland Yarrow
""")
# industry: what its companies are called, and what they want from us
INDUSTRIES = {
    "Food and beverage": (
        ["Foods", "Dairy", "Bakeries", "Breweries"],
        ["Cold chain monitoring", "Hygiene audit trail", "Cold store alarms", "Delivery van sensors"],
    ),
    "Logistics": (
        ["Logistics", "Freight", "Cold Storage"],
        ["Fleet temperature tracking", "Warehouse sensing", "Reefer container alarms", "Dock door monitoring"],
    ),
    "Pharmaceuticals": (
        ["Pharma", "Biologics", "Laboratories"],
        ["Validated storage monitoring", "Clean room climate", "Freezer farm alarms", "Stability chamber records"],
    ),
    "Health care": (
        ["Hospitals", "Clinics", "Diagnostics"],
        ["Lab fridge alarms", "Blood bank monitoring", "Ward climate", "Pharmacy temperature records"],
    ),
    "Agriculture": (
        ["Growers", "Greenhouses", "Farms"],
        ["Greenhouse climate control", "Grain store monitoring", "Barn ventilation", "Irrigation sensing"],
    ),
    "Retail": (
        ["Markets", "Grocers", "Stores"],
        ["Store refrigeration rollout", "Energy use per store", "Freezer aisle alarms", "Compliance reports"],
    ),
    "Manufacturing": (
        ["Industries", "Components", "Plastics", "Textiles"],
        ["Production line sensing", "Motor vibration watch", "Paint shop climate", "Compressed air monitoring"],
    ),
    "Energy": (
        ["Energy", "Power", "Renewables"],
        ["Substation condition monitoring", "Turbine vibration watch", "Battery room climate", "Inverter cabinets"],
    ),
    "Data centres": (
        ["Hosting", "Data Centres", "Networks"],
        ["Server room climate", "Leak detection", "Hot aisle mapping", "Generator room monitoring"],
    ),
    "Culture": (
        ["Museums", "Archives", "Galleries"],
        ["Archive humidity control", "Showcase climate", "Loan transport records", "Storage vault monitoring"],
    ),
}


@dataclass(frozen=True)
class Place:
    """A city, the form of a phone number there, and what one US dollar is in its currency."""

    city: str
    region: str | None
    postal_code: str
    country: str
    phone: str
    currency: str
    rate: float
    area: str
    street: str


PLACES = [
    Place("Chicago", "IL", "60601", "United States", "+131255501##", "USD", 1, "Americas", "{} W Lake Street"),
    Place("Boston", "MA", "02110", "United States", "+161755501##", "USD", 1, "Americas", "{} Atlantic Avenue"),
    Place("Seattle", "WA", "98101", "United States", "+120655501##", "USD", 1, "Americas", "{} Pine Street"),
    Place("Austin", "TX", "78701", "United States", "+151255501##", "USD", 1, "Americas", "{} Congress Avenue"),
    Place("Denver", "CO", "80202", "United States", "+130355501##", "USD", 1, "Americas", "{} Blake Street"),
    Place("London", None, "EC1A 4HD", "United Kingdom", "+442079460###", "GBP", 0.8, "Europe", "{} Long Lane"),
    Place("Leeds", None, "LS1 4DL", "United Kingdom", "+441134960###", "GBP", 0.8, "Europe", "{} Wellington Street"),
    Place("Berlin", None, "10115", "Germany", "+493023125###", "EUR", 0.9, "Europe", "Invalidenstraße {}"),
    Place("Hamburg", None, "20457", "Germany", "+494066969###", "EUR", 0.9, "Europe", "Am Sandtorkai {}"),
    Place("Paris", None, "75011", "France", "+3319900####", "EUR", 0.9, "Europe", "{} rue de Charonne"),
    Place("Lyon", None, "69002", "France", "+3326191####", "EUR", 0.9, "Europe", "{} quai Perrache"),
    Place("Stockholm", None, "111 20", "Sweden", "+4684650####", "SEK", 10, "Europe", "Vasagatan {}"),
    Place("Sydney", "NSW", "2000", "Australia", "+612555####0", "AUD", 1.5, "Europe", "{} Kent Street"),
]

# title, department
POSITIONS = [
    ("Chief Operating Officer", "Management"),
    ("Head of Quality", "Quality"),
    ("Facilities Manager", "Facilities"),
    ("Procurement Manager", "Procurement"),
    ("IT Director", "IT"),
    ("Plant Engineer", "Engineering"),
    ("Supply Chain Director", "Logistics"),
    ("Laboratory Manager", "Laboratory"),
    ("Finance Controller", "Finance"),
    ("Maintenance Lead", "Facilities"),
]
SOURCES = ["Website", "Referral", "Trade fair", "Webinar", "Partner", "Cold call", "Newsletter"]
ROLES = ["Decision maker", "Technical evaluator", "Economic buyer", "Champion", "User"]
COMPETITORS = ["Thermalytics", "Sensoria", "Coldwatch", "GridSense", "In-house build"]
LOST_REASONS = ["Price", "Chose a competitor", "No budget this year", "Went quiet", "Missing certification"]
NEXT_STEPS = [
    "Send the revised quote",
    "Site survey with the facilities team",
    "Demo for the quality department",
    "Legal review of the terms",
    "Reference call with an existing customer",
    "Agree on the rollout plan",
]

# name, code, family, list price in US dollars
PRODUCTS = [
    ("Probe T1 temperature sensor", "T1", "Sensors", 89),
    ("Probe H2 humidity sensor", "H2", "Sensors", 119),
    ("Probe D4 door sensor", "D4", "Sensors", 45),
    ("Probe V3 vibration sensor", "V3", "Sensors", 240),
    ("Gateway G10", "G10", "Gateways", 490),
    ("Gateway G50 industrial", "G50", "Gateways", 1450),
    ("Lookout platform, yearly", "LK-Y", "Software", 3600),
    ("Lookout compliance pack, yearly", "LK-C", "Software", 2400),
    ("Installation day", "INST", "Services", 950),
    ("Calibration service", "CAL", "Services", 65),
    ("Premium support, yearly", "SUP-P", "Services", 1800),
    ("Probe T0 temperature sensor", "T0", "Sensors", 75),
]

# name, probability, category, forecast category, days until stale, what must be filled
SALES_STAGES = [
    ("Qualification", 10, "OPEN", "PIPELINE", 21, []),
    ("Discovery", 25, "OPEN", "PIPELINE", 30, ["ACCOUNT"]),
    ("Proposal", 50, "OPEN", "BEST_CASE", 30, ["ACCOUNT", "AMOUNT"]),
    ("Negotiation", 75, "OPEN", "COMMIT", 21, ["ACCOUNT", "AMOUNT", "CLOSE_DATE"]),
    ("Won", 100, "WON", "CLOSED", None, ["ACCOUNT", "AMOUNT", "CLOSE_DATE"]),
    ("Lost", 0, "LOST", "OMITTED", None, ["LOST_REASON"]),
]
RENEWAL_STAGES = [
    ("Upcoming", 60, "OPEN", "PIPELINE", 60, ["ACCOUNT"]),
    ("Quoted", 80, "OPEN", "BEST_CASE", 30, ["ACCOUNT", "AMOUNT"]),
    ("Verbal yes", 90, "OPEN", "COMMIT", 14, ["ACCOUNT", "AMOUNT", "CLOSE_DATE"]),
    ("Renewed", 100, "WON", "CLOSED", None, ["ACCOUNT", "AMOUNT", "CLOSE_DATE"]),
    ("Churned", 0, "LOST", "OMITTED", None, ["LOST_REASON"]),
]

# subject, type
CASES = [
    ("Sensor readings stopped after the firmware update", "INCIDENT"),
    ("Gateway offline since this morning", "INCIDENT"),
    ("Alarm did not reach the night shift", "INCIDENT"),
    ("Temperature drifts by two degrees", "PROBLEM"),
    ("Monthly report is empty", "PROBLEM"),
    ("Battery of a door sensor drains within weeks", "PROBLEM"),
    ("How do we add a second site?", "QUESTION"),
    ("Which certificate covers the calibration?", "QUESTION"),
    ("Can alarms go to a group of phones?", "QUESTION"),
    ("Export of readings as a spreadsheet", "FEATURE_REQUEST"),
    ("Invoice shows the old address", "OTHER"),
]

# name, type, status, first and last day from today, its statuses (the last one is a response), parent
CAMPAIGNS = [
    ("Cold chain year", "OTHER", "ACTIVE", -330, 90, ["SENT", "RESPONDED"], None),
    ("Food safety webinar", "WEBINAR", "COMPLETED", -300, -270, ["INVITED", "REGISTERED", "ATTENDED"], 0),
    ("Cold chain newsletter, spring", "EMAIL", "COMPLETED", -240, -210, ["SENT", "OPENED", "RESPONDED"], 0),
    ("Logistics fair", "EVENT", "COMPLETED", -190, -186, ["INVITED", "VISITED THE STAND"], 0),
    ("Hospital pharmacies by post", "DIRECT_MAIL", "COMPLETED", -150, -120, ["SENT", "RESPONDED"], None),
    ("Compliance pack launch", "EMAIL", "COMPLETED", -100, -60, ["SENT", "OPENED", "RESPONDED"], None),
    ("Customers bring customers", "REFERRAL_PROGRAM", "ACTIVE", -200, 165, ["ASKED", "REFERRED SOMEBODY"], None),
    ("Archive climate webinar", "WEBINAR", "ACTIVE", -14, 16, ["INVITED", "REGISTERED", "ATTENDED"], None),
    ("Win-back: quiet prospects", "SOCIAL", "ABORTED", -80, -50, ["SENT", "RESPONDED"], None),
    ("Greenhouse week", "EVENT", "PLANNED", 30, 35, ["INVITED", "ATTENDED"], 0),
]

EMAIL_SUBJECTS = ["Your question about {}", "Quote for {}", "Following up on {}", "Documents for {}", "Next steps: {}"]
CALL_SUBJECTS = ["Call about {}", "Short check-in on {}", "Pricing call: {}"]
MEETING_SUBJECTS = ["Demo: {}", "Workshop: {}", "Site visit for {}", "Review of {}"]
NOTE_SUBJECTS = ["Notes on {}", "What matters to them in {}"]
TASK_SUBJECTS = ["Prepare the quote for {}", "Send references for {}", "Call back about {}", "Book the survey for {}"]
CALL_OUTCOMES = ["Connected", "Left a voicemail", "No answer", "Wants a call back"]
MEETING_OUTCOMES = ["Went well", "Needs another round", "They will decide this month"]
BODIES = [
    "They like the alarm chain and ask how long the batteries last.",
    "Budget is approved for one site; the other two follow if it works out.",
    "Wants the numbers split by site before the next meeting.",
    "Quality asked for the calibration certificates.",
    "They compare us with a competitor, mostly on price.",
    "Happy with the pilot. IT still has to agree to the gateway in their network.",
]

# name, title, role, place in the list of the manager, team
PEOPLE = [
    ("Ada Lindqvist", "Head of Operations", "ADMIN", None, None),
    ("Marcus Feld", "Chief Revenue Officer", "MANAGER", None, None),
    ("Priya Nair", "Sales Director, Americas", "MANAGER", 1, "Americas"),
    ("Tomas Herrera", "Sales Director, Europe", "MANAGER", 1, "Europe"),
    ("Nora Whitfield", "Head of Support", "MANAGER", 1, "Support"),
    ("Jun Mori", "Head of Marketing", "MANAGER", 1, "Marketing"),
    ("Ben Castellano", "Account Executive", "REP", 2, "Americas"),
    ("Grace Obi", "Account Executive", "REP", 2, "Americas"),
    ("Lucas Brandt", "Account Executive", "REP", 2, "Americas"),
    ("Elena Rossi", "Account Executive", "REP", 3, "Europe"),
    ("Finn Aalto", "Account Executive", "REP", 3, "Europe"),
    ("Zainab Yusuf", "Account Executive", "REP", 3, "Europe"),
    ("Hugo Martel", "Account Executive", "REP", 3, "Europe"),
    ("Sara Lindholm", "Support Engineer", "REP", 4, "Support"),
    ("Dev Kapoor", "Support Engineer", "REP", 4, "Support"),
    ("Ruth Adeyemi", "Senior Support Engineer", "REP", 4, "Support"),
    ("Mila Petrov", "Campaign Manager", "REP", 5, "Marketing"),
    ("Otto Graf", "Finance Controller", "READ_ONLY", 0, None),
]
TEAMS = {
    "Americas": "Sells in North and South America.",
    "Europe": "Sells in Europe and everywhere else.",
    "Support": "Answers customers; cases wait in its queue.",
    "Marketing": "Runs campaigns.",
}
