"""The questions that the model learns to answer, and those that it is examined on.

Every country is asked for in every way, but a quarter of these pairs is held out: the model has seen the country and has seen the way of
asking, but never this country asked for in this way. What it gets right there it has not learnt by heart.
"""

CAPITALS = {
    "argentina": "buenos aires", "australia": "canberra", "austria": "vienna", "belgium": "brussels", "brazil": "brasilia",
    "canada": "ottawa", "chile": "santiago", "china": "beijing", "cuba": "havana", "denmark": "copenhagen",
    "egypt": "cairo", "ethiopia": "addis ababa", "finland": "helsinki", "france": "paris", "germany": "berlin",
    "ghana": "accra", "greece": "athens", "hungary": "budapest", "iceland": "reykjavik", "india": "new delhi",
    "ireland": "dublin", "italy": "rome", "japan": "tokyo", "kenya": "nairobi", "mexico": "mexico city",
    "morocco": "rabat", "nepal": "kathmandu", "norway": "oslo", "peru": "lima", "poland": "warsaw",
    "portugal": "lisbon", "romania": "bucharest", "senegal": "dakar", "spain": "madrid", "sweden": "stockholm",
    "thailand": "bangkok", "turkey": "ankara", "uruguay": "montevideo", "vietnam": "hanoi", "zambia": "lusaka",
}

WAYS = [
    "what is the capital of {}?", "capital of {}?", "which city is the capital of {}?", "tell me the capital of {}",
    "{}: what is its capital?", "name {}'s capital", "do you know the capital of {}?", "the capital of {} is",
]

QUESTION_ENDS = ANSWER_ENDS = "\n"
ALPHABET = "\n !',-.:;?abcdefghijklmnopqrstuvwxyz"
LONGEST_QUESTION = 200  # characters


def normal(question: str) -> str:
    """A question in the characters that the model knows."""
    return "".join(c for c in " ".join(question.lower().split()) if c in ALPHABET)[-LONGEST_QUESTION:]


def pairs(held_out: bool):
    """(question, answer) of what is learnt, or of what is held out."""
    for i, (country, capital) in enumerate(CAPITALS.items()):
        for j, way in enumerate(WAYS):
            if ((i + j) % 4 == 0) == held_out:
                yield normal(way.format(country)), capital
