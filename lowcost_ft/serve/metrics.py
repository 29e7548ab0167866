"""What the server counts, for Prometheus: no texts, and no labels but names of models."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        name = "lowcost_ft"
        self.requests = Counter(
            f"{name}_requests",
            "Requests, by route and status code.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            f"{name}_request_seconds",
            "Time from a request's head to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.inputs = Counter(
            f"{name}_inputs", "Inputs answered, by model.", ["model"], registry=self.registry
        )
        self.tokens = Counter(
            f"{name}_tokens", "Tokens read, by model.", ["model"], registry=self.registry
        )
        self.waiting = Gauge(
            f"{name}_waiting_requests", "Requests that wait.", registry=self.registry
        )
        self.models = Gauge(f"{name}_models", "Models that are loaded.", registry=self.registry)
        self.wave = Histogram(
            f"{name}_wave_inputs",
            "Inputs that were answered together.",
            buckets=_SIZES,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All of them in Prometheus' format."""
        return generate_latest(self.registry)
