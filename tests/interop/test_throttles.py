"""A throttle lets through the number that it promises, and no crash makes it more."""

import http.client
import os
import threading
import time

from gate import CLIENT, GateTest, ask

RATE, BURST = 40, 60
SECONDS = int(os.environ.get("THROTTLE_SECONDS", "12"))   # of twice the rate, with the crash in the middle; 60 for a long look
SENDERS = 2
# Beyond what the throttle lets through: nothing. Below: what is counted as spent because of the crash is at most what is earned
# in the unsaved second, while the process is down, and until the senders are back.
PLAN = f"""
[[usage_plan]]
name = "exact"
throttle = {{ rate = {RATE}, burst = {BURST} }}

[[usage_plan]]
name = "slow"
throttle = {{ rate = 0.001, burst = 10 }}
"""


class Sender(threading.Thread):
    """Asks at a steady rate over a connection that it keeps, and notes when each request that was let through was sent and answered."""

    def __init__(self, gate, per_second, until):
        super().__init__()
        self.gate, self.period, self.until = gate, 1 / per_second, until
        self.passed, self.denied, self.lost = [], 0, 0

    def run(self):
        connection, due = self.gate.connection(), time.monotonic()
        while time.monotonic() < self.until:
            time.sleep(max(0, due - time.monotonic()))
            due = max(due + self.period, time.monotonic() - 1)
            sent = time.monotonic()
            try:
                status = ask(connection, "GET", self.gate.hello, self.gate.key_header()).status
            except (OSError, http.client.HTTPException):
                self.lost += 1                         # it is down: ask again on another connection
                connection = self.gate.connection()
                time.sleep(0.02)
                continue
            if status == 200:
                self.passed.append((sent, time.monotonic()))
            else:
                self.denied += 1


class Throttles(GateTest):
    def put_on(self, plan):
        """Puts the demo's client on a plan."""
        document, = (self.gate.data / "policies").glob("*.toml")
        text = document.read_text()
        if "name = \"exact\"" not in text:
            text += PLAN
        lines, inside = [], False
        for line in text.splitlines():
            if line.startswith("[["):
                inside = line.strip() == "[[client]]"
            if inside and line.startswith("usage_plan"):
                continue
            lines.append(line)
            if inside and line.startswith("id ") and CLIENT in line:
                lines.append(f'usage_plan = "{plan}"')
        document.write_text("\n".join(lines) + "\n")
        self.gate.cli("policy", "apply", self.gate.data / "policies")

    def flood(self, seconds, while_it_runs=lambda: None):
        until = time.monotonic() + seconds
        senders = [Sender(self.gate, 2 * RATE / SENDERS, until) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        while_it_runs()
        for sender in senders:
            sender.join()
        passed = sorted(moment for sender in senders for moment in sender.passed)
        return passed, sum(sender.denied for sender in senders), sum(sender.lost for sender in senders)

    def test_1_the_exact_number(self):
        self.put_on("exact")
        passed, denied, lost = self.flood(SECONDS)
        earned = BURST + RATE * (passed[-1][1] - passed[0][0])
        print(f"\n{len(passed)} passed, promised {earned:.1f}; {denied} denied")
        self.assertEqual(0, lost)
        self.assertGreater(denied, RATE * SECONDS / 3, "it was asked for about twice of what it gives")
        self.assertLessEqual(len(passed), earned, "never more than was promised from the first request sent to the last answer")
        slowest = max(answered - sent for sent, answered in passed)
        self.assertGreaterEqual(len(passed), earned - RATE * (slowest + 0.1) - 2, "and never less")

    def test_2_the_exact_number_through_a_crash(self):
        self.put_on("exact")
        time.sleep(BURST / RATE)                       # the bucket is whole again
        down = []

        def crash():
            time.sleep(SECONDS / 2)
            self.gate.kill()
            down.append(time.monotonic())
            self.gate.start()
            down.append(time.monotonic())

        passed, denied, lost = self.flood(SECONDS + 6, crash)
        earned = BURST + RATE * (passed[-1][1] - passed[0][0])
        gap = max(after[1] - before[1] for before, after in zip(passed, passed[1:]))
        print(f"\n{len(passed)} passed, promised {earned:.1f}; {denied} denied, {lost} lost, nobody served for {gap:.2f} s")
        self.assertLessEqual(len(passed), earned, "a crash hands out nothing")
        self.assertGreaterEqual(len(passed), earned - RATE * (gap + 1.5), "and costs no more than it took and its last second")
        after = [answered for sent, answered in passed if sent > down[0]]
        self.assertLessEqual(len(after), RATE * (after[-1] - down[0]) + 1, "no burst after it: that was spent before")

    def test_3_what_rested_is_untouched(self):
        self.put_on("slow")
        headers = self.gate.key_header()
        ask_once = lambda: self.gate.request("GET", self.gate.hello, headers).status
        # The bucket was in use under the other plan; what is left of it now is counted on.
        before = 0
        while ask_once() == 200:
            before += 1
        self.assertLessEqual(before, 10)
        time.sleep(2.5)                                # saved
        self.gate.kill()
        self.gate.start()
        self.assertEqual(429, ask_once(), "spent before the crash is spent after it")
        self.assertEqual(0, self.gate.stop())
        self.gate.start()
        self.assertEqual(429, ask_once(), "and after a stop in order")
