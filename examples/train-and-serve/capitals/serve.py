"""Serves the model as OpenAI's API does: /v1/chat/completions and /v1/completions, whole and streamed, /v1/models, /health.

One process, Python's own HTTP server, one thread a connection.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from model import load

LARGEST = 1 << 20  # bytes of a request


class Refused(Exception):
    """A request that cannot be answered, and why."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error"):
        super().__init__(message)
        self.status, self.kind = status, kind


def text_of(content) -> str:
    """A message's text: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(p["text"] for p in content if isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str))
    raise Refused(400, "content must be a string or a list of parts")


def chat_question(body: dict) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "messages must be a list with at least one message")
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    raise Refused(400, "there is no message of the user")


def prompt(body: dict) -> str:
    given = body.get("prompt")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str):
        raise Refused(400, "prompt must be one string")
    return given


def number(body: dict, name: str, default, low, high):
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise Refused(400, f"{name} must be a number from {low} to {high}")
    return value


class Answers:
    """The model, and the way to words from it."""

    def __init__(self, path: str, name: str):
        self.model, self.name = load(path), name

    def say(self, body: dict, question: str):
        """Yields an answer's characters, and returns why it ended."""
        limit = int(number(body, "max_completion_tokens", number(body, "max_tokens", 1 << 20, 1, 1 << 30), 1, 1 << 30))
        temperature = float(number(body, "temperature", 0.0, 0, 2))
        generator = None
        if temperature > 0:
            generator = torch.Generator().manual_seed(int(number(body, "seed", time.time_ns() % (1 << 31), -(1 << 62), 1 << 62)))
        said = 0
        for character in self.model.answer(question, temperature, generator):
            if said == limit:
                return "length"
            said += 1
            yield character
        return "stop"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "capitals", ""
    timeout = 120
    answers: Answers

    def log_message(self, form, *args):
        if getattr(self, "path", "") != "/health":
            print(form % args, flush=True)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/health":
            self.give(200, {"status": "ok"})
        elif path == "/v1/models":
            self.give(200, {"object": "list", "data": [{"id": self.answers.name, "object": "model", "created": 0, "owned_by": "palisade"}]})
        else:
            self.refuse(Refused(404, f"there is nothing at {path}"))

    def do_POST(self):
        try:
            kind = {"/v1/chat/completions": ("chat", chat_question), "/v1/completions": ("text", prompt)}.get(self.path.split("?")[0])
            body = self.body()
            if kind is None:
                raise Refused(404, f"there is nothing at {self.path}")
            model = body.get("model")
            if model is not None and not isinstance(model, str):
                raise Refused(400, "model must be a string")
            self.complete(kind[0] == "chat", body, kind[1](body))
        except Refused as e:
            self.refuse(e)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # nobody listens any more

    def body(self) -> dict:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.close_connection = True
            raise Refused(411, "the request must say its length") from None
        if not 0 <= length <= LARGEST:
            self.close_connection = True
            raise Refused(413, f"the request is larger than {LARGEST} bytes")
        try:
            body = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            raise Refused(400, "the request is not JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "the request must be an object")
        return body

    def complete(self, chat: bool, body: dict, question: str):
        number(body, "n", 1, 1, 1)
        head = {
            "id": ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex,
            "created": int(time.time()),
            "model": body.get("model") or self.answers.name,
        }
        spoken = self.answers.say(body, question)
        if body.get("stream"):
            return self.stream(chat, body, head, question, spoken)
        said, reason = "", "stop"
        while True:
            try:
                said += next(spoken)
            except StopIteration as end:
                reason = end.value
                break
        choice = {"index": 0, "finish_reason": reason, "logprobs": None}
        if chat:
            choice["message"] = {"role": "assistant", "content": said}
        else:
            choice["text"] = said
        self.give(200, {**head, "object": "chat.completion" if chat else "text_completion", "choices": [choice], "usage": usage(question, said)})

    def stream(self, chat: bool, body: dict, head: dict, question: str, spoken):
        # What is wrong with the request must be known before the answer has begun.
        first, reason = next_of(spoken)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head["object"] = "chat.completion.chunk" if chat else "text_completion"
        said, character = "", first
        if chat:
            self.event({**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        while character is not None:
            said += character
            piece = {"delta": {"content": character}} if chat else {"text": character}
            self.event({**head, "choices": [{"index": 0, **piece, "finish_reason": None}]})
            character, reason = next_of(spoken)
        piece = {"delta": {}} if chat else {"text": ""}
        self.event({**head, "choices": [{"index": 0, **piece, "finish_reason": reason}]})
        options = body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            self.event({**head, "choices": [], "usage": usage(question, said)})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def event(self, value: dict):
        self.chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def chunk(self, data: bytes):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def refuse(self, e: Refused):
        self.give(e.status, {"error": {"message": str(e), "type": e.kind, "param": None, "code": None}})

    def give(self, status: int, value: dict):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)


def next_of(spoken):
    """The next character and None; or None and why it ended."""
    try:
        return next(spoken), None
    except StopIteration as end:
        return None, end.value


def usage(question: str, said: str) -> dict:
    return {"prompt_tokens": len(question), "completion_tokens": len(said), "total_tokens": len(question) + len(said)}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default=os.path.join(here, "model.pt"))
    p.add_argument("--name", default=os.environ.get("BACKEND_MODEL_NAME", "capitals"))
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=8000)
    options = p.parse_args()
    torch.set_num_threads(1)
    Handler.answers = Answers(options.model, options.name)
    server = Server((options.host, options.port), Handler)

    def stop(*_):
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this signal has interrupted

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"listening on {options.host}:{server.server_port} as {options.name}", flush=True)
    server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
