"""What invoices are written from: the same sums as the metrics, every request once, through a kill in the middle too."""

import collections
import csv
import io
import json
import re
import time
import urllib.parse

from gate import CLIENT, GateTest, ask

HOUR = 3600
# The server writes what it counted every five seconds.
WRITTEN_SECONDS = 12


class Usage(GateTest):
    def metrics(self):
        """(listener, outcome) -> decisions since the start of the process."""
        text = self.gate.request("GET", "/metrics", listener="admin", certificate=self.gate.admin_certificate).body
        found = re.findall(r'^portcullis_decisions_total\{listener="([^"]+)",outcome="([^"]+)"\} (\d+)$', text, re.MULTILINE)
        self.assertGreater(len(found), 0, text[:1000])
        return {(listener, outcome): int(count) for listener, outcome, count in found}

    def usage(self, **query):
        query = urllib.parse.urlencode({"limit": 1000, "by": "listener,outcome", "from": 0} | query)
        answer = self.gate.request("GET", f"/v1/usage?{query}", listener="admin", certificate=self.gate.admin_certificate)
        self.assertEqual(200, answer.status, answer)
        return answer.json["items"]

    def counted(self):
        """The same of the usage. The admin listener is left out: these questions are themselves counted there."""
        return {(row["listener"], row["outcome"]): row["requests"] for row in self.usage() if row["listener"] != "admin"}

    def traffic(self, rounds):
        """Good and bad requests of every kind over a few connections."""
        connection = self.gate.connection()
        for number in range(rounds):
            ask(connection, "GET", self.gate.hello, self.gate.key_header())
            ask(connection, "GET", self.gate.hello, {"x-api-key": "pc_demo_wrong"} if number % 2 else None)
            ask(connection, "GET", "/nowhere")
            ask(connection, "GET", "/a//b")
        connection.close()
        self.assertEqual(200, self.gate.request("GET", self.gate.hello, certificate=self.gate.certificate).status)
        self.assertEqual(200, self.gate.request("GET", self.gate.hello, self.gate.bearer_header()).status)
        self.assertEqual(200, self.gate.request("GET", self.gate.hello, listener="mtls", certificate=self.gate.certificate).status)

    def test_sums_are_those_of_the_metrics_and_a_kill_doubles_nothing(self):
        earlier = self.counted()
        base = {key: count for key, count in self.metrics().items() if key[0] != "admin"}
        self.assertEqual(base, {key: earlier[key] for key in base}, "nothing was served before this process")
        self.traffic(50)
        first = {key: count for key, count in self.metrics().items() if key[0] != "admin"}
        self.assertEqual(first, self.counted())
        self.assertEqual(53, first["gateway", "allowed"] - base.get(("gateway", "allowed"), 0))

        # Killed while it serves and writes: what was written before stands, once; what came after may be lost, never doubled.
        self.traffic(10)
        time.sleep(WRITTEN_SECONDS)
        second = {key: count for key, count in self.metrics().items() if key[0] != "admin"}
        self.traffic(5)
        self.gate.kill()
        self.gate.start()
        after = self.counted()
        for key, count in second.items():
            self.assertGreaterEqual(after[key], count, key)
        self.traffic(7)
        third = {key: count for key, count in self.metrics().items() if key[0] != "admin"}
        self.assertEqual({key: after.get(key, 0) + count for key, count in third.items()},
                         {key: count for key, count in self.counted().items() if key in third})
        # And in order: everything is there.
        whole = self.counted()
        self.assertEqual(0, self.gate.stop())
        self.gate.start()
        self.assertEqual(whole, self.counted())

    def test_an_export_is_the_same_twice_and_in_both_forms(self):
        self.traffic(3)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() // HOUR * HOUR + HOUR))
        span = ("--from", "1d", "--to", until)
        sheet = self.gate.command("usage", "export", "--format", "csv", *span, output="table")
        self.assertEqual(0, sheet.returncode, sheet.stderr)
        again = self.gate.command("usage", "export", "--format", "csv", *span, output="table")
        # Commands are requests to the admin listener and counted there.
        partners = [[line for line in text.splitlines() if ",admin," not in line] for text in (sheet.stdout, again.stdout)]
        self.assertEqual(*partners)
        rows = [row for row in csv.DictReader(io.StringIO(sheet.stdout, newline="")) if row["listener"] != "admin"]
        lines = self.gate.command("usage", "export", "--format", "jsonl", *span, output="table").stdout.splitlines()
        items = [item for item in map(json.loads, lines) if item["listener"] != "admin"]
        self.assertEqual({item["id"]: item["requests"] for item in items}, {row["id"]: int(row["requests"]) for row in rows})
        self.assertEqual(len(items), len({item["id"] for item in items}), "an id names one row")
        kinds = collections.Counter()
        for row in rows:
            self.assertEqual(int(row["requests"]), sum(int(count) for name, count in row.items() if name.startswith("took_")), row)
            if row["client"] == CLIENT and row["outcome"] == "allowed":
                kinds[row["credential"].partition(":")[0]] += int(row["requests"])
        self.assertEqual({"api-key", "client-certificate", "access-token", ""}, set(kinds))

    def test_the_running_hour_is_left_out_unless_it_is_asked_for(self):
        self.traffic(1)
        done = self.gate.command("usage", "export", "--format", "jsonl", "--from", "1d", output="table")
        running = time.time() // HOUR * HOUR
        self.assertTrue(all(json.loads(line)["hour"] < running for line in done.stdout.splitlines()), done.stdout)

    def test_the_last_day_is_drawn(self):
        self.traffic(4)
        drawn = self.gate.command("usage", "show", output="table")
        self.assertEqual(0, drawn.returncode, drawn.stderr)
        self.assertRegex(drawn.stdout, r"█+░+ \d+ \(\d+ denied\)")
        self.assertRegex(drawn.stdout, r"\d+ route_not_found")
        self.assertIn(CLIENT, drawn.stdout)
        self.assertEqual(24, len(re.findall(r"^[\d -]{10} \d\d:00", drawn.stdout, re.MULTILINE)))
