"""Serves the compiled front end and a small JSON API, with the standard library alone."""

import functools
import http.server
import json
import os
import re

from . import catalog


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/api/products":
            return self.answer(200, catalog.PRODUCTS)
        match = re.fullmatch(r"/api/products/(\d+)", self.path)
        if match:
            product = catalog.find(int(match[1]))
            return self.answer(200 if product else 404, product or {"error": "no such product"})
        return super().do_GET()

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    static = os.path.join(os.environ.get("APP_ENV", "."), "static")
    address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8000")))
    handler = functools.partial(Handler, directory=static)
    print(f"serving {static} on {address[0]}:{address[1]}", flush=True)
    http.server.ThreadingHTTPServer(address, handler).serve_forever()
