"""An OpenAI server on loopback that answers what its requests say: chats are answered from a small table of facts, judges judge.

Nothing is canned: answers, counts of tokens and verdicts are computed from the messages, so that a client that sends or reads the wrong
thing gets another answer.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CAPITALS = {"france": "Paris", "italy": "Rome", "peru": "Lima"}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def answer(question: str) -> str:
    found = [f"{capital} is the capital of {country.title()}." for country, capital in CAPITALS.items() if country in words(question)]
    return " ".join(found) or "I do not know."


def verdict(prompt: str) -> dict[str, str]:
    """Of correctness: whether the document holds the claim; of guidelines: whether the answer holds all that they put in quotes."""
    claim, document = (re.search(rf"<{tag}>(.*?)</{tag}>", prompt, re.DOTALL) for tag in ("claim", "document"))
    if claim and document:
        missing = sorted(set(words(claim[1])) - set(words(document[1])))
    else:
        rules, said = (re.search(rf"<{tag}>(.*?)</{tag}>", prompt, re.DOTALL) for tag in ("guidelines", "response"))
        missing = [word for word in re.findall(r'"(\w+)"', rules[1] if rules else "") if word.lower() not in words(said[1] if said else "")]
    return {"rationale": f"Let's think step by step. Missing: {', '.join(missing) or 'nothing'}.", "result": "no" if missing else "yes"}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(body)  # type: ignore[attr-defined]
        if not self.path.endswith("/chat/completions"):
            self.send_error(404)
            return
        prompt = "\n".join(text_of(m) for m in body["messages"])
        judged = "<claim>" in prompt or "<guidelines>" in prompt
        said = json.dumps(verdict(prompt)) if judged else answer(text_of(body["messages"][-1]))
        usage = {"prompt_tokens": len(words(prompt)), "completion_tokens": len(words(said))}
        usage["total_tokens"] = sum(usage.values())
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if body.get("stream"):
            self.stream(head, said, usage)
            return
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        self.reply(json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage}).encode(), "application/json")

    def stream(self, head: dict[str, Any], said: str, usage: dict[str, int]) -> None:
        pieces = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}]} for piece in re.findall(r"\S+\s*", said)]
        pieces += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        lines = [f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', **piece})}\n\n" for piece in pieces]
        self.reply(("".join(lines) + "data: [DONE]\n\n").encode(), "text/event-stream")

    def reply(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


@contextlib.contextmanager
def openai_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its base URL, and the bodies it has seen."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
