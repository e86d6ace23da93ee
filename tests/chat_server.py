"""A server on loopback that speaks OpenAI's chat protocol, backed by a function, with faults put in on purpose."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = Sequence[dict[str, Any]]
Reply = Callable[[Messages], str]

# What "good tool" calls.
GOOD_CALL: dict[str, Any] = {}
RETRY_AFTER = "0.05"
SLOW = 3.0


@dataclass
class ChatServer:
    """reply: messages -> what the model says. faults: taken from the front, one a request; "" for none.

    always: the fault of every request for which it says so; `answer` knows the names. besides: fields put beside the
    others into a whole answer. seen: the body of every request.
    """

    reply: Reply
    faults: list[str] = field(default_factory=list)
    always: Callable[[Messages], str] = lambda messages: ""
    besides: Callable[[Messages], dict[str, Any]] = lambda messages: {}
    seen: list[dict[str, Any]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    base_url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def prompts(self) -> list[str]:
        """The last user message of every request."""
        return [body["messages"][-1]["content"] for body in self.seen]

    def next_fault(self, body: dict[str, Any]) -> str:
        with self.lock:
            self.seen.append(body)
            return (self.faults.pop(0) if self.faults else "") or self.always(body["messages"])


@contextmanager
def serving(reply: Reply, **settings: Any) -> Iterator[ChatServer]:
    """A server on a free port of 127.0.0.1 for as long as the block lasts."""
    chat = ChatServer(reply, **settings)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with chat.lock:
                chat.at_once += 1
                chat.most_at_once = max(chat.most_at_once, chat.at_once)
            try:
                answer(self, chat, body, chat.next_fault(body))
            except (BrokenPipeError, ConnectionResetError):
                pass  # the other side has given up, as after a time-out
            finally:
                with chat.lock:
                    chat.at_once -= 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    chat.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(handler: BaseHTTPRequestHandler, chat: ChatServer, body: dict[str, Any], fault: str) -> None:
    if fault in ("429", "500", "401", "404"):
        send(handler, int(fault), {"error": {"message": f"planted {fault}", "type": "planted", "code": None}})
    elif fault.startswith("echo "):
        key = str(handler.headers["Authorization"]).removeprefix("Bearer ")
        masked = f"{key[:6]}{'*' * 12}{key[-4:]}"
        send(handler, int(fault[5:]), {"error": {"message": f"Incorrect key {key}, or {masked}", "key": key}})
    elif fault.startswith("inside "):
        send(handler, 200, {"error": {"code": int(fault[7:]), "message": f"planted {fault}"}})
    elif fault == "page":
        head(handler, 200, 13, "text/html")
        handler.wfile.write(b"<html></html>")
    elif fault == "drop":
        handler.close_connection = True
        handler.connection.close()
    elif fault in ("cut", "stall"):
        whole = json.dumps(completion(chat.reply(body["messages"]), body)).encode()
        head(handler, 200, len(whole))
        handler.wfile.write(whole[: len(whole) // 2])
        handler.wfile.flush()
        if fault == "stall":
            time.sleep(SLOW)
        handler.connection.close()
    elif fault == "not json":
        head(handler, 200, 9)
        handler.wfile.write(b'{"choices')
    elif fault == "not a completion":
        send(handler, 200, {"hello": "world"})
    elif fault == "filter":
        send(handler, 200, completion("", body, finish="content_filter"))
    elif fault == "length":
        send(handler, 200, completion(chat.reply(body["messages"]), body, finish="length"))
    elif fault == "empty length":
        send(handler, 200, completion("", body, finish="length"))
    elif fault == "tool":
        call = {"id": "call-1", "type": "function", "function": {"name": "send_mail", "arguments": '{"to": "a", '}}
        send(handler, 200, completion(None, body, finish="tool_calls", tool_calls=[call]))
    elif fault == "good tool":
        send(handler, 200, completion(None, body, finish="tool_calls", tool_calls=[GOOD_CALL]))
    else:
        if fault == "slow":
            time.sleep(SLOW)
        send(handler, 200, completion(chat.reply(body["messages"]), body) | chat.besides(body["messages"]))


def completion(text: str | None, body: dict[str, Any], finish: str = "stop", **message: Any) -> dict[str, Any]:
    prompt = sum(len(str(message["content"]).split()) for message in body["messages"])
    said = len((text or "").split())
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted-2026-01-01",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said},
    }


def send(handler: BaseHTTPRequestHandler, status: int, value: dict[str, Any]) -> None:
    content = json.dumps(value).encode()
    head(handler, status, len(content))
    handler.wfile.write(content)


def head(handler: BaseHTTPRequestHandler, status: int, length: int, kind: str = "application/json") -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(length))
    if status in (429, 500):
        handler.send_header("Retry-After", RETRY_AFTER)
    handler.end_headers()
