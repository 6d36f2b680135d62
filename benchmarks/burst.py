"""Many episodes starting at once against one slow tool server: is anything lost, and how far from the ideal are we?

    python benchmarks/burst.py --episodes 500 --calls 4 --latency-s 0.5

The episodes are the engine's own, with its real HTTP tools; only the policy is a script, so that what is measured is
the border to the tools. The server is a process of its own, answers every call after `latency-s`, and counts. Ideal is
calls x latency: all episodes wait together. Prints JSON; exit status 1 when an episode or a call was lost.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from agentrft.domain.episode import Episode, StopReason, ToolCall
from agentrft.domain.job import Limits, Sampling, ToolEndpoint
from agentrft.engine.fanout import all_of
from agentrft.engine.rollout import Agent, run_episode
from agentrft.ports import CallContext, Tools
from agentrft.testing import FakeSampler, InProcessTools, WordChat, an_item
from agentrft.tools import HttpTools

OUTPUT = "three reports mention it"


class SlowServer:
    """Enough of HTTP/1.1 for our client, so that the server takes little of the cores that are measured."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._live = 0
        self._peak = 0
        self._calls: Counter[str] = Counter()  # by episode

    async def serve(self, pipe: Connection) -> None:
        """Say the port, listen until something comes through the pipe, then send the counts back."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(pipe.recv)
        pipe.send({"calls": self._calls, "peak": self._peak, "cpu_s": time.process_time()})

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                length = next(int(line.split(b":")[1]) for line in head if line.startswith(b"content-length:"))
                writer.write(await self._answer(await reader.readexactly(length)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, body: bytes) -> bytes:
        call = json.loads(body)
        self._calls[call["trace_id"]] += 1
        self._live += 1
        self._peak = max(self._peak, self._live)
        await asyncio.sleep(self._latency_s)
        self._live -= 1
        reply = json.dumps({"type": "function_call_output", "call_id": call["call_id"], "output": OUTPUT}).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(reply), reply)


def run_server(pipe: Connection, latency_s: float) -> None:
    asyncio.run(SlowServer(latency_s).serve(pipe))


async def play(tools: Tools, *, episodes: int, calls: int) -> list[Episode]:
    """All episodes at once; each makes its calls one after the other and then answers."""
    chat = WordChat()
    agent = Agent(
        sampler=FakeSampler(chat, [["search({})"]] * calls + [["it is 3"]]),
        chat=chat,
        tools=tools,
        sampling=Sampling(max_turn_tokens=16, max_context_tokens=4096),
        limits=Limits(max_turns=calls + 1, max_tool_calls=calls, wall_clock_s=600.0),
        seed=1,
    )
    return await all_of(run_episode(agent, an_item(), step=1, attempt=attempt) for attempt in range(episodes))


def measure_engine(*, episodes: int, calls: int) -> float:
    """CPU seconds of the same episodes with tools that cost nothing."""

    def at_once(call: ToolCall, context: CallContext) -> str:
        return OUTPUT

    started = time.process_time()
    asyncio.run(play(InProcessTools({"search": at_once}), episodes=episodes, calls=calls))
    return time.process_time() - started


async def burst(url: str, *, episodes: int, calls: int) -> tuple[list[Episode], dict[str, float]]:
    before_mib = peak_mib()
    async with HttpTools([ToolEndpoint(name="search", server_url=url)]) as tools:
        wall, cpu = time.perf_counter(), time.process_time()
        played = await play(tools, episodes=episodes, calls=calls)
        spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return played, {**spent, "peak_rss_mib": peak_mib(), "peak_rss_grown_mib": peak_mib() - before_mib}


def peak_mib() -> float:
    """Of this process, so far."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def report(played: Sequence[Episode], spent: dict[str, float], server: dict[str, Any], options: Any) -> dict[str, Any]:
    made = options.episodes * options.calls
    ideal_s = options.calls * options.latency_s
    counts = server["calls"].values()
    engine_s = measure_engine(episodes=options.episodes, calls=options.calls)
    return {
        "episodes": options.episodes,
        "calls": made,
        "latency_s": options.latency_s,
        "answered_episodes": sum(episode.stop is StopReason.ANSWER for episode in played),
        "faults": sum(episode.fault is not None for episode in played),
        "episodes_lost_or_repeated_at_the_server": options.episodes - sum(n == options.calls for n in counts),
        "requests": sum(counts),
        "most_at_once": server["peak"],
        "ideal_s": ideal_s,
        "wall_s": round(spent["wall_s"], 3),
        "wall_over_ideal": round(spent["wall_s"] / ideal_s, 3),
        "cpu_ms_per_call": round(1000 * spent["cpu_s"] / made, 3),
        "cpu_ms_per_call_of_the_engine": round(1000 * engine_s / made, 3),
        "server_cpu_ms_per_call": round(1000 * server["cpu_s"] / made, 3),
        "peak_rss_mib": round(spent["peak_rss_mib"], 1),
        "peak_rss_grown_mib": round(spent["peak_rss_grown_mib"], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--calls", type=int, default=4, help="tool calls of each episode, one after the other")
    parser.add_argument("--latency-s", type=float, default=0.5, help="of the tool server")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=run_server, args=(there, options.latency_s), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}/search"
    played, spent = asyncio.run(burst(url, episodes=options.episodes, calls=options.calls))
    here.send("stop")
    figures = report(played, spent, here.recv(), options)
    server.join()
    print(json.dumps(figures, indent=2))
    whole = figures["answered_episodes"] == figures["episodes"] and figures["requests"] == figures["calls"]
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
