"""A language model of characters, small enough to be trained on a laptop in a minute."""

import torch

from data import ALPHABET, ANSWER_ENDS, QUESTION_ENDS, normal

LONGEST_ANSWER = 40  # characters


class Characters(torch.nn.Module):
    """Says, after each character, which one comes next."""

    def __init__(self, hidden: int = 192, alphabet: str = ALPHABET):
        super().__init__()
        self.settings = {"hidden": hidden, "alphabet": alphabet}
        self.index = {c: i for i, c in enumerate(alphabet)}
        self.alphabet = alphabet
        self.embed = torch.nn.Embedding(len(alphabet), 48)
        self.recall = torch.nn.GRU(48, hidden, batch_first=True)
        self.head = torch.nn.Linear(hidden, len(alphabet))

    def forward(self, codes, state=None):
        out, state = self.recall(self.embed(codes), state)
        return self.head(out), state

    def codes(self, text: str):
        return torch.tensor([self.index[c] for c in text], dtype=torch.long)

    @torch.no_grad()
    def answer(self, question: str, temperature: float = 0.0, generator=None):
        """Yields an answer, character by character."""
        codes, state = self.codes(normal(question) + QUESTION_ENDS)[None], None
        for _ in range(LONGEST_ANSWER):
            logits, state = self(codes, state)
            if temperature > 0:
                odds = torch.softmax(logits[0, -1] / temperature, dim=-1)
                best = torch.multinomial(odds, 1, generator=generator)
            else:
                best = logits[0, -1].argmax()[None]
            character = self.alphabet[int(best)]
            if character == ANSWER_ENDS:
                return
            yield character
            codes = best[None]


def load(path: str) -> Characters:
    """A trained model from its file. Nothing of the file is run."""
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model = Characters(**kept["settings"])
    model.load_state_dict(kept["weights"])
    return model.eval()
