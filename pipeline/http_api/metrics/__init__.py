"""What Prometheus is told by the API: requests and what serves (http.py), and what the watch saw last (watch.py)."""

from pipeline.http_api.metrics.http import CONTENT_TYPE_LATEST, HttpMetrics
from pipeline.http_api.metrics.watch import WatchMetrics

__all__ = ["CONTENT_TYPE_LATEST", "HttpMetrics", "WatchMetrics"]
