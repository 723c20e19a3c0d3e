"""Trains the model, and goes on where it was when it is started again.

After every epoch it writes where it is to PALISADE_CHECKPOINT_DIR, whole or not at all, and one line of figures to PALISADE_METRICS. Stopped
by SIGTERM, because a service needs the accelerator, it ends at once: what is lost is the epoch under way, never a finished one. An epoch's
order depends on its number alone, so that a run in several parts comes to the same model as one in a single part.
"""

import argparse
import json
import os
import signal
import sys
import time

import torch

from data import ANSWER_ENDS, QUESTION_ENDS, pairs
from model import Characters

IGNORED = -100  # no loss is counted there: the question is given, only the answer is to be said


def batches(model, examples, size, order):
    for i in range(0, len(order), size):
        chosen = [examples[j] for j in order[i : i + size]]
        texts = [(q + QUESTION_ENDS, a + ANSWER_ENDS) for q, a in chosen]
        longest = max(len(q) + len(a) for q, a in texts)
        seen = torch.zeros(len(texts), longest - 1, dtype=torch.long)
        said = torch.full((len(texts), longest - 1), IGNORED, dtype=torch.long)
        for row, (q, a) in enumerate(texts):
            codes = model.codes(q + a)
            seen[row, : len(codes) - 1] = codes[:-1]
            said[row, len(q) - 1 : len(codes) - 1] = codes[len(q) :]
        yield seen, said


def accuracy(model, examples) -> float:
    model.eval()
    right = sum("".join(model.answer(q)) == a for q, a in examples)
    return right / len(examples)


def write_whole(path: str, write) -> None:
    """What is under path is the old file or the new one, also after a crash."""
    part = path + ".part"
    with open(part, "wb") as f:
        write(f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def checkpoints(directory: str):
    """Files of finished epochs, the last one first."""
    names = [n for n in os.listdir(directory) if n.startswith("epoch-") and n.endswith(".pt")]
    return [os.path.join(directory, n) for n in sorted(names, reverse=True)]


def restore(directory: str, model, optimizer) -> int:
    """How many epochs are finished."""
    for path in checkpoints(directory):
        try:
            kept = torch.load(path, map_location="cpu")  # a file of this job's own
            model.load_state_dict(kept["weights"])
            optimizer.load_state_dict(kept["optimizer"])
        except Exception as e:  # of another model, or damaged: the one before it may do
            print(f"{path} cannot be gone on from: {e}", file=sys.stderr)
            continue
        print(f"going on after epoch {kept['epoch']}, from {path}")
        return kept["epoch"]
    return 0


def keep(directory: str, epoch: int, model, optimizer) -> None:
    state = {"epoch": epoch, "weights": model.state_dict(), "optimizer": optimizer.state_dict()}
    write_whole(os.path.join(directory, f"epoch-{epoch:04}.pt"), lambda f: torch.save(state, f))
    for old in checkpoints(directory)[2:]:
        os.remove(old)


class Stopped(Exception):
    pass


def train(options) -> None:
    os.makedirs(options.checkpoints, exist_ok=True)
    os.makedirs(options.out, exist_ok=True)
    torch.manual_seed(options.seed)
    model = Characters(options.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    loss_of = torch.nn.CrossEntropyLoss(ignore_index=IGNORED)
    examples, held_out = list(pairs(False)), list(pairs(True))
    finished = restore(options.checkpoints, model, optimizer)
    print(f"{len(examples)} questions to learn, {len(held_out)} held out; {sum(p.numel() for p in model.parameters())} weights")

    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    for epoch in range(finished + 1, options.epochs + 1):
        begun, total, count = time.monotonic(), 0.0, 0
        for group in optimizer.param_groups:  # fast at first, and ever more careful
            group["lr"] = options.lr * (1 - (epoch - 1) / options.epochs)
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(options.seed * 1000 + epoch)).tolist()
        model.train()
        for seen, said in batches(model, examples, options.batch, order):
            if stopping:
                raise Stopped(f"stopped in epoch {epoch}; {epoch - 1} are kept")
            optimizer.zero_grad()
            logits, _ = model(seen)
            loss = loss_of(logits.transpose(1, 2), said)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total, count = total + loss.item(), count + 1
        figures = {"step": epoch, "loss": round(total / count, 5), "seconds": round(time.monotonic() - begun, 3)}
        if epoch % options.examine == 0 or epoch == options.epochs:
            figures["held_out_accuracy"] = round(accuracy(model, held_out), 4)
        keep(options.checkpoints, epoch, model, optimizer)
        with open(options.metrics, "a", encoding="utf-8") as f:
            f.write(json.dumps({**figures, "time": time.time()}) + "\n")
        print("epoch " + " ".join(f"{k} {v}" for k, v in figures.items()), flush=True)

    write_whole(os.path.join(options.out, "model.pt"), lambda f: torch.save({"settings": model.settings, "weights": model.state_dict()}, f))
    print(f"trained: {os.path.join(options.out, 'model.pt')}")


def main() -> int:
    home = os.path.expanduser("~")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--epochs", type=int, default=30)
    p.add_argument("--hidden", type=int, default=192)
    p.add_argument("--batch", type=int, default=24)
    p.add_argument("--lr", type=float, default=0.01)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--examine", type=int, default=5, help="held-out questions are asked after every so many epochs")
    p.add_argument("--threads", type=int, default=1, help="small matrices are not computed faster by many cores")
    p.add_argument("--out", default="/pipeline/outputs")
    p.add_argument("--checkpoints", default=os.environ.get("PALISADE_CHECKPOINT_DIR", os.path.join(home, ".checkpoint")))
    p.add_argument("--metrics", default=os.environ.get("PALISADE_METRICS", os.path.join(home, "metrics.jsonl")))
    options = p.parse_args()
    torch.set_num_threads(options.threads)
    try:
        train(options)
    except Stopped as e:
        print(e, flush=True)
        return 128 + signal.SIGTERM
    return 0


if __name__ == "__main__":
    sys.exit(main())
