#!/usr/bin/env python3
"""The CPU time of a run with metrics that are scraped and traces that are exported, compared with the same run without.

    scripts/bench/telemetry.py PROGRAM [--rounds 4] [--movies 10]

PROGRAM is `jhalak`. Each round runs the first movies of the demo dataset twice into stores of their own, embedded, in turns: with
`telemetry.listen` off, and with it, scraped every 5 s, and OTLP to a collector in this process that takes everything. The CPU time
is that of the program and its decoding children. Walls vary with what else runs; the ratio of the CPU times is reported.
"""

import argparse
import http.server
import os
import resource
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCRAPE_INTERVAL_S = 5


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans and counts their bytes."""

    protocol_version = "HTTP/1.1"
    received = 0

    def do_POST(self):
        Collector.received += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(program, movies, collector):
    """Runs the demo, with telemetry where a collector is given. Returns CPU seconds and the number of scrapes."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JHALAK", "OTEL"))}
        environment |= {"JHALAK__STORE": f"{folder}/store", "JHALAK__WORKER__SCRATCH": f"{folder}/scratch"}
        environment |= {"JHALAK__EVALUATE__FOLDS": "2", "JHALAK__EVALUATE__EPOCHS": "1", "JHALAK__TELEMETRY__LISTEN": "off"}
        address = f"127.0.0.1:{free_port()}"
        if collector:
            environment |= {"JHALAK__TELEMETRY__LISTEN": address, "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
        listed = Path(folder, "movies.txt")
        listed.write_text("".join(f"tt99{n:05d}\n" for n in range(1, movies + 1)))
        command = [program, "run", "--quiet", "--config", "demo/jhalak.toml", "--dataset", ".local/demo/dataset"]
        before, scrapes = children_cpu_s(), 0
        with open(f"{folder}/log", "w+b") as log:
            running = subprocess.Popen([*command, "--movies", listed], cwd=ROOT, env=environment, stdout=log, stderr=log)
            scraped = time.monotonic()
            while running.poll() is None:
                time.sleep(0.1)
                if collector and time.monotonic() - scraped > SCRAPE_INTERVAL_S:
                    scraped = time.monotonic()
                    try:
                        urllib.request.urlopen(f"http://{address}/metrics", timeout=5).read()
                        scrapes += 1
                    except OSError:
                        # It may have ended.
                        pass
            if running.returncode != 0:
                log.seek(0)
                raise SystemExit(f"{command} ended with {running.returncode}: {log.read()[-2_000:].decode(errors='replace')}")
        return children_cpu_s() - before, scrapes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--movies", type=int, default=10)
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    collector = f"http://127.0.0.1:{server.server_port}"
    cpu = {False: [], True: []}
    for n in range(options.rounds):
        for on in (False, True) if n % 2 == 0 else (True, False):
            seconds, scrapes = run(options.program, options.movies, collector if on else None)
            cpu[on].append(seconds)
            print(f"{'with' if on else 'without'}: {seconds:.2f} s of CPU time, {scrapes} scrapes", flush=True)
    ratios = [on / off for off, on in zip(cpu[False], cpu[True])]
    print(f"without {statistics.median(cpu[False]):.2f} s, with {statistics.median(cpu[True]):.2f} s (medians)")
    print(f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}; {Collector.received} bytes of spans")


if __name__ == "__main__":
    main()
