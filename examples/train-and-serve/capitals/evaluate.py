"""Examines a trained model on questions that it has not seen, and packs it with its server into a folder that can be served.

Ends with 1 when it knows too little: nothing is packed then, and what would serve it does not.
"""

import argparse
import json
import os
import shutil
import sys

import torch

from data import pairs
from model import load

HERE = os.path.dirname(os.path.abspath(__file__))
SERVED = ["data.py", "model.py", "serve.py", "model-definition.yaml"]


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="/pipeline/input1/model.pt")
    p.add_argument("--out", default="/pipeline/outputs")
    p.add_argument("--at-least", type=float, default=0.9, help="of the held-out questions answered right")
    options = p.parse_args()
    torch.set_num_threads(1)

    model = load(options.model)
    result = {}
    for name, held_out in (("learnt", False), ("held_out", True)):
        asked = list(pairs(held_out))
        wrong = [(q, a, said) for q, a, said in ((q, a, "".join(model.answer(q))) for q, a in asked) if said != a]
        for q, a, said in wrong[:5]:
            print(f"wrong: {q!r} is {a!r}, not {said!r}")
        result[name] = {"questions": len(asked), "right": len(asked) - len(wrong), "accuracy": round(1 - len(wrong) / len(asked), 4)}
        print(f"{name}: {result[name]['right']} of {len(asked)} right")
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "evaluation.json"), "w", encoding="utf-8") as f:
        json.dump(result, f, indent=2)
        f.write("\n")
    if result["held_out"]["accuracy"] < options.at_least:
        print(f"it is not good enough: {options.at_least:.0%} are wanted", file=sys.stderr)
        return 1
    for name in SERVED:
        shutil.copy(os.path.join(HERE, name), os.path.join(options.out, name))
    shutil.copy(options.model, os.path.join(options.out, "model.pt"))
    print(f"packed into {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
