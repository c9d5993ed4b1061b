"""Ratings by an endpoint: a fake server on this machine answers well, badly, slowly or not at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import cuvee
from cuvee.cli import cli
from cuvee.errors import DataError, ResourceError, UsageError
from cuvee.rating.answers import Answers
from cuvee.rating.criteria import CRITERIA, DOMAINS, PROMPT, check_prompt, fill, parse
from cuvee.rating.endpoint import Endpoint

KEY = "sk-secret-of-the-tests"
Reply = Callable[[str], tuple[int, dict[str, str], bytes]]


def answer(overall: int = 4, domain: str = "law") -> str:
    return json.dumps({"domain": domain} | dict.fromkeys(CRITERIA, 3) | {"overall_score": overall})


def said(content: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


class Server:
    """What an endpoint was asked, and what it answers: ``reply`` takes the question."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.reply: Reply = lambda question: (200, {}, said(answer(1 + len(question) % 5)))
        self.drip = 0.0
        self.lacking = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append({**body, "path": self.path})
                server.headers.append(dict(self.headers))
                status, headers, raw = server.reply(body["messages"][0]["content"])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw) + server.lacking))
                self.end_headers()
                try:
                    for byte in raw if server.drip else ():
                        self.wfile.write(bytes([byte]))
                        time.sleep(server.drip)
                    if not server.drip:
                        self.wfile.write(raw)
                except OSError:
                    return

            def log_message(self, *parts: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    lines = [json.dumps({"id": f"d{n}", "text": f"document {n} " + "word " * (n % 7)}) for n in range(40)]
    path.write_text("\n".join(lines))
    return path


def rate(pool: Path, server: Server, output: Path, **more: Any) -> Any:
    more = {"rows": 12, "start": True, "workers": 1, "timeout": 5.0, "tries": 1} | more
    return cuvee.rate(pool, endpoint=server.url, model="rater", output=output, **more)


# what is asked and read


def test_the_question_names_every_criterion_and_domain() -> None:
    assert all(name in PROMPT for name in (*CRITERIA, *DOMAINS)) and len(CRITERIA) == 14 and len(DOMAINS) == 15
    assert fill(PROMPT, "a {text} of its own").count("a {text} of its own") == 1
    for wrong in ("no place", "{text} and {text}"):
        with pytest.raises(UsageError, match="exactly once"):
            check_prompt(wrong)


def test_answers_are_read_in_every_form() -> None:
    numbers = tuple(1 + n % 5 for n in range(14))
    named = dict(zip(CRITERIA, numbers, strict=True))
    titles = [name.replace("_", " ").title() for name in CRITERIA]
    lines = "\n".join(
        f"[{n + 1}]{title}: {value}/5" for n, (title, value) in enumerate(zip(titles, numbers, strict=True))
    )
    forms = [
        json.dumps({"domain": "Law", **named}),
        f"Here you are:\n```json\n{json.dumps({'Domain': 'law', **{name: str(v) for name, v in named.items()}})}\n```",
        f"Domain: law\n{lines}",
        f"Application Domain: Law.\n{lines}",
        "law\n" + "\n".join(map(str, numbers)),
    ]
    assert [parse(form) for form in forms] == [(numbers, "law")] * len(forms)
    assert parse(json.dumps({"domain": "astrology", **named})) == (numbers, "other")


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "I cannot rate this.",
        answer(6),
        answer(0),
        answer().replace('"accuracy": 3', '"accuracy": 3.5'),
        answer().replace('"accuracy": 3', '"accuracy": true'),
        answer().replace('"accuracy": 3, ', ""),
        answer()[:-1],
        "[" * 100_000,
        "{" * 100_000 + "}" * 100_000,
        "law\n" + "\n".join(["3"] * 13),
        "law\n" + "\n".join(["3"] * 15),
        "\n".join(f"{name}: 3" for name in (*CRITERIA, "accuracy")),
    ],
)
def test_malformed_answers_are_not_guessed_at(wrong: str) -> None:
    assert parse(wrong) is None


# the endpoint


def test_a_request_is_of_the_protocol(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    assert Endpoint(server.url + "/", "rater", "OTHER_KEY").ask("how good?") == answer(1 + len("how good?") % 5)
    (asked,) = server.asked
    assert (asked["path"], asked["model"], asked["temperature"]) == ("/v1/chat/completions", "rater", 0)
    assert asked["messages"] == [{"role": "user", "content": "how good?"}]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    monkeypatch.delenv("OTHER_KEY")
    Endpoint(server.url, "rater", "OTHER_KEY").ask("again")
    assert "Authorization" not in server.headers[1]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(server: Server, status: int) -> None:
    pauses: list[float] = []
    server.reply = lambda question: (
        (status, {"Retry-After": "7"}, b"busy") if len(server.asked) < 3 else (200, {}, said(answer()))
    )
    assert Endpoint(server.url, "rater", pause=pauses.append).ask("?") == answer()
    assert len(server.asked) == 3 and pauses == [7, 1, 7, 2]


def test_no_answer_ends_after_the_tries(server: Server) -> None:
    pauses: list[float] = []
    server.reply = lambda question: (500, {}, b"")
    with pytest.raises(ResourceError, match=r"no answer after 3 tries \(status 500"):
        Endpoint(server.url, "rater", tries=3, pause=pauses.append).ask("?")
    assert len(server.asked) == 3 and pauses == [1, 2]


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_refusals_end_at_once_and_never_tell_the_key(
    server: Server, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = json.dumps({"error": {"message": f"wrong key {KEY}"}}).encode()
    server.reply = lambda question: (status, {"Location": "http://127.0.0.1:1/v1"}, body)
    with pytest.raises(UsageError, match=f"status {status}") as told:
        Endpoint(server.url, "rater", pause=lambda seconds: None).ask("?")
    assert len(server.asked) == 1 and KEY not in str(told.value) and "[key]" in str(told.value)


def test_slow_and_dripping_servers_are_cut_off(server: Server) -> None:
    server.reply = lambda question: (time.sleep(1.0), (200, {}, said(answer())))[1]
    started = time.monotonic()
    with pytest.raises(ResourceError, match="no answer in time"):
        Endpoint(server.url, "rater", timeout=0.2, tries=1).ask("?")
    server.reply = lambda question: (200, {}, said(answer()))
    server.drip = 0.05
    with pytest.raises(ResourceError, match="no answer in time"):
        Endpoint(server.url, "rater", timeout=0.4, tries=1).ask("?")
    assert time.monotonic() - started < 5


def test_nobody_listening_is_a_sentence() -> None:
    with pytest.raises(ResourceError, match="ConnectionRefusedError"):
        Endpoint("http://127.0.0.1:9/v1", "rater", tries=2, pause=lambda seconds: None).ask("?")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices": []}', said(None), said(3)])
def test_answers_outside_the_protocol_are_empty(server: Server, body: bytes) -> None:
    server.reply = lambda question: (200, {}, body)
    assert Endpoint(server.url, "rater").ask("?") == ""


def test_a_reply_cut_short_is_no_answer(server: Server, pool: Path, tmp_path: Path) -> None:
    server.lacking = 1000
    with pytest.raises(ResourceError, match=r"no answer after 2 tries \(IncompleteRead"):
        rate(pool, server, tmp_path / "rated", tries=2, at_once=1, timeout=5.0)
    assert len(server.asked) == 2


@pytest.mark.parametrize("rows", [5, 40])
@pytest.mark.parametrize("body", [b"<html>" + b"x" * 5000, b'{"choices": []}', said(None), b"[]", b"\xff\x00\x80"])
def test_what_is_no_answer_is_kept_and_shown(
    server: Server, pool: Path, tmp_path: Path, body: bytes, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.reply = lambda question: (200, {}, body + b" " + KEY.encode() if body[:1] == b"<" else body)
    folder = tmp_path / "rated"
    with pytest.raises(DataError, match=r"no text where an OpenAI-compatible API puts it") as told:
        rate(pool, server, folder, rows=rows, at_once=1)
    time.sleep(0.3)  # a request may be under way
    assert server.url in str(told.value) and str(folder / "answers.jsonl") in str(told.value)
    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == min(rows, 20)
    assert all(body.decode(errors="replace").startswith(line["instead"][:6]) for line in lines)
    assert all(0 < len(line["instead"]) <= 1000 for line in lines)
    assert KEY not in (folder / "answers.jsonl").read_text()
    server.reply = lambda question: (200, {}, said(answer()))
    server.asked.clear()
    assert rate(pool, server, folder, rows=rows).summary["rated"] == rows, "what came instead is no answer"
    assert len(server.asked) == rows


def test_rows_that_the_pool_lacks_or_repeats_are_told(server: Server, tmp_path: Path) -> None:
    path, folder = tmp_path / "twice.jsonl", tmp_path / "rated"
    path.write_text("\n".join(json.dumps({"id": str(n), "text": f"text {n // 2}"}) for n in range(4)))
    found = rate(path, server, folder, rows=9, start=False).summary
    assert (found["rows"], found["rows_asked_for"], found["answered_before"], found["same_text"]) == (4, 9, 0, 2)
    words = ["rate", str(path), "--endpoint", server.url, "--model", "rater", "--rows", "9", "-o", str(folder), "-q"]
    told = CliRunner().invoke(cli, words).output
    assert "only 4 documents" in told and "2 with the text of another" in told and "before" not in told
    assert rate(path, server, folder, rows=9).summary["rated"] == 4 and len(server.asked) == 2
    again = rate(path, server, folder, rows=9).summary
    assert (again["answered_before"], again["same_text"]) == (4, 0)


def test_keys_do_not_travel_in_the_open(monkeypatch: pytest.MonkeyPatch) -> None:
    Endpoint("http://rater.example/v1", "rater", "NO_SUCH_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UsageError, match="unencrypted"):
        Endpoint("http://rater.example/v1", "rater")
    Endpoint("https://rater.example/v1", "rater")
    for wrong in ("rater.example/v1", "ftp://rater.example", "http://"):
        with pytest.raises(UsageError, match="must be an address"):
            Endpoint(wrong, "rater")
    with pytest.raises(UsageError, match="no key into"):
        Endpoint("https://user:pass@rater.example", "rater")


# the job


def test_the_cost_is_told_before_anything_is_sent(server: Server, pool: Path, tmp_path: Path) -> None:
    found = rate(pool, server, tmp_path / "rated", start=False, price_in=1.0, price_out=2.0)
    assert not server.asked and not (tmp_path / "rated").exists()
    cost = found.summary["cost"]
    assert cost["requests"] == 12 and cost["tokens_out"] == 1800
    assert 12 * len(PROMPT) / 4 < cost["tokens_in"] < 12 * (len(PROMPT) + 60) / 4
    assert cost["price"] == pytest.approx((cost["tokens_in"] + 3600) / 1e6, abs=1e-4)


def test_ratings_are_written_and_never_paid_for_twice(
    server: Server, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    folder = tmp_path / "rated"
    found = rate(pool, server, folder, at_once=3)
    assert len(server.asked) == 12 and found.summary["rated"] == 12 and found.summary["malformed"] == 0
    table = pq.read_table(folder / "ratings.parquet")
    assert table.column_names == ["key", *CRITERIA, "domain"] and table.num_rows == 12
    assert sum(found.summary["overall_score"].values()) == 12
    before = (folder / "ratings.parquet").read_bytes()
    again = rate(pool, server, folder, at_once=1)
    assert len(server.asked) == 12 and again.summary["answered_before"] == 12
    assert (folder / "ratings.parquet").read_bytes() == before
    rate(pool, server, folder, rows=20)
    assert len(server.asked) == 20
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert KEY.encode() not in everything and server.url.encode() not in everything


def test_another_model_or_wording_asks_anew(server: Server, pool: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rated"
    rate(pool, server, folder)
    cuvee.rate(pool, endpoint=server.url, model="other", output=folder, rows=12, start=True)
    assert len(server.asked) == 24
    rate(pool, server, folder, prompt="Rate this: {text}")
    assert len(server.asked) == 36 and server.asked[-1]["messages"][0]["content"].startswith("Rate this: document")


def test_malformed_and_empty_answers_are_counted(server: Server, pool: Path, tmp_path: Path) -> None:
    def reply(question: str) -> tuple[int, dict[str, str], bytes]:
        if "document 1" in question:
            return 200, {}, said("no idea")
        return (200, {}, b"<html>") if "document 2" in question else (200, {}, said(answer()))

    server.reply = reply
    found = rate(pool, server, tmp_path / "rated", rows=40)
    assert found.summary["malformed"] == 22 and found.summary["no_answer"] == 11 and found.summary["rated"] == 18
    assert pq.read_table(tmp_path / "rated" / "ratings.parquet").num_rows == 18
    server.asked.clear()
    rate(pool, server, tmp_path / "rated", rows=40)
    assert len(server.asked) == 11  # empty ones are asked again, unreadable ones are not


def test_a_rater_that_rambles_is_stopped_early(server: Server, pool: Path, tmp_path: Path) -> None:
    server.reply = lambda question: (200, {}, said("What a lovely document!"))
    with pytest.raises(DataError, match="20 of the first 20 answers"):
        rate(pool, server, tmp_path / "rated", rows=40, at_once=2)
    assert len(server.asked) <= 25 and not (tmp_path / "rated" / "ratings.parquet").exists()


def test_answers_that_came_before_a_failure_are_kept(server: Server, pool: Path, tmp_path: Path) -> None:
    server.reply = lambda question: (200, {}, said(answer())) if len(server.asked) < 6 else (401, {}, b"")
    with pytest.raises(UsageError, match="status 401"):
        rate(pool, server, tmp_path / "rated", at_once=1)
    assert len(Answers(tmp_path / "rated" / "answers.jsonl").known) == 5
    server.asked.clear()
    server.reply = lambda question: (200, {}, said(answer()))
    assert rate(pool, server, tmp_path / "rated").summary["rated"] == 12
    assert len(server.asked) == 7


def test_a_torn_line_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first = Answers(path)
    first.add("one", "5")
    with path.open("ab") as stream:
        stream.write(b'{"question": "two", "ans')
    second = Answers(path)
    assert second.known == {"one": "5"}
    second.add("three", "4")
    assert Answers(path).known == {"one": "5", "three": "4"}


def test_what_cannot_be_rated_is_refused(server: Server, pool: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="not of a rating"):
        rate(pool, server, foreign)
    with pytest.raises(UsageError, match="at least 1"):
        rate(pool, server, tmp_path / "rated", rows=0)
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="prices are amounts"):
            rate(pool, server, tmp_path / "rated", price_in=price)
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text('{"label": 3}\n{"label": 4}\n')
    with pytest.raises(DataError):
        rate(numbers, server, tmp_path / "rated")
    assert not server.asked


def test_from_the_command_line_to_a_selection(server: Server, pool: Path, tmp_path: Path) -> None:
    folder, run = tmp_path / "rated", CliRunner().invoke
    words = ["rate", str(pool), "--endpoint", server.url, "--model", "rater", "--rows", "30", "-o", str(folder), "-q"]
    told = run(cli, words)
    assert told.exit_code == 0 and "Would take 30 requests" in told.output and "--yes" in told.output
    assert not server.asked
    done = run(cli, [*words, "--yes"])
    assert done.exit_code == 0 and "Rated: 30 of 30 documents" in done.output, done.output
    ratings = f"dataman:ratings={folder}/ratings.parquet,others=drop"
    kept = run(
        cli, ["select", str(pool), "--with", ratings, "--rows", "5", "-o", str(tmp_path / "kept"), "-q", "--json"]
    )
    assert kept.exit_code == 0, kept.output
    table, chosen = pq.read_table(folder / "ratings.parquet"), pq.read_table(tmp_path / "kept" / "selection.parquet")
    best = sorted(table.column("overall_score").to_pylist())[-5:]
    assert sorted(chosen.column("score").to_pylist()) == best
