"""Numbers for Prometheus, and a log with one line of JSON for each event.

Neither holds the name of a file, a field of its header, or a reader's message about it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Final, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_LOGGER: Final = logging.getLogger("enecg.serve")
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters and histograms of one service, named `enecg_...`."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._registry = own
        self.requests = Counter("enecg_requests", "Answered requests.", ("method", "route", "status"), registry=own)
        self.seconds = Histogram("enecg_request_seconds", "From a request's header to the end of its answer.",
                                 ("route",), buckets=_SECONDS, registry=own)  # fmt: skip
        self.in_flight = Gauge("enecg_in_flight", "Recordings' requests that are worked on.", registry=own)
        self.rejected = Counter("enecg_rejected", "Requests turned away.", ("reason",), registry=own)
        self.recordings = Counter("enecg_recordings", "Recordings by what became of them.", ("format", "outcome"),
                                  registry=own)  # fmt: skip
        self.predictions = Counter("enecg_predictions", "Answers to tasks.", ("task",), registry=own)
        self.read_seconds = Histogram("enecg_read_seconds", "For reading one file.", ("format",), buckets=_SECONDS,
                                      registry=own)  # fmt: skip
        self.restarts = Counter("enecg_worker_restarts", "Processes that were replaced.", ("kind",), registry=own)
        self.jobs = Gauge("enecg_jobs", "Jobs that wait or run.", registry=own)

    def text(self) -> bytes:
        """Return all numbers in Prometheus' text format."""
        return generate_latest(self._registry)


def event(name: str, /, **facts: object) -> None:
    """Log one event with its facts and the id of the request that it belongs to."""
    _LOGGER.info(name, extra={"facts": facts})


class JsonFormatter(logging.Formatter):
    """Formats an event as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), "event": record.msg}
        if REQUEST_ID.get():
            line["request_id"] = REQUEST_ID.get()
        return json.dumps(line | getattr(record, "facts", {}))


def log_to(stream: TextIO = sys.stderr) -> None:
    """Write events to a stream, one JSON object a line. It is the only log of the service."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    _LOGGER.handlers, _LOGGER.propagate = [handler], False
    _LOGGER.setLevel(logging.INFO)
