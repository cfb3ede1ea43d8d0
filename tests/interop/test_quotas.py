"""A quota through crashes, counted from outside; and what callers are told of it, read by a parser that we did not write."""

import http.client
import re
import threading
import time

import http_sf
from gate import CLIENT, GateTest, ask

LIMIT = 900
PART = 100                                             # the most that a crash can lose
KILLS = 3
CALLERS = 4
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Quotas(GateTest):
    def limit(self, *lines):
        """Puts other limits into the plan of the demo."""
        policies = self.gate.data / "policies"
        for path in policies.glob("*.toml"):
            text = path.read_text()
            path.write_text(re.sub(r"(?m)^\[\[usage_plan\]\]\n(?:.*=.*\n)+", "\n".join(
                ["[[usage_plan]]", 'name = "standard"', *lines, ""]), text))
        self.gate.cli("policy", "apply", policies)

    def used(self, name):
        return next(row for row in self.gate.cli("quota", "show", "--client", CLIENT) if row["quota"] == name)

    def call_until(self, over, passed):
        """Calls on one connection, and on a new one when that breaks."""
        while not over.is_set():
            try:
                connection = self.gate.connection()
                while not over.is_set():
                    answer = ask(connection, "GET", self.gate.hello, self.gate.key_header())
                    if answer.status == 200:
                        passed.append(1)
                    elif answer.json["code"] == "quota_exceeded":
                        return
            except (http.client.HTTPException, OSError):
                time.sleep(0.02)                       # the server is being killed, or is not up again

    def test_a_kill_in_the_middle_passes_no_limit(self):
        self.limit(f'quota = {{ name = "crash", limit = {LIMIT}, period = "month" }}')
        passed, over = [], threading.Event()
        callers = [threading.Thread(target=self.call_until, args=(over, passed)) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            for kill in range(KILLS):
                self.gate.wait_for(lambda: len(passed) > (kill + 1) * 120, time.monotonic() + 60, "enough requests")
                self.gate.kill()
                self.gate.start()
            for caller in callers:
                caller.join(120)
        finally:
            over.set()
        self.assertFalse([caller for caller in callers if caller.is_alive()], "the quota ends")
        # An answer that was on its way when the process died was served and not counted here.
        self.assertLessEqual(len(passed), LIMIT, "never more than the limit, whatever crashes")
        self.assertGreaterEqual(len(passed), LIMIT - KILLS * (PART + CALLERS), "a crash loses one part at most")
        self.assertEqual(0, self.used("crash")["remaining"])
        print(f"\n{len(passed)} of {LIMIT} served through {KILLS} kills")

        self.gate.cli("quota", "extend", "--client", CLIENT, "--by", "5")
        answers = [self.gate.request("GET", self.gate.hello, self.gate.key_header()).status for _ in range(7)]
        self.assertEqual([200] * 5 + [429] * 2, answers, "what an operator grants, and no more")
        self.gate.cli("quota", "reset", "--client", CLIENT, "--quota", "crash")
        self.assertEqual(LIMIT + 5, self.used("crash")["remaining"])
        self.assert_hello(self.gate.request("GET", self.gate.hello, self.gate.key_header()))

    def test_what_callers_are_told_is_a_structured_field(self):
        self.limit("throttle = { rate = 50, burst = 100 }", 'quotas = [{ name = "per.day", limit = 2, period = "day" }, { limit = 500, period = "month" }]')
        told = [self.gate.request("GET", self.gate.hello, self.gate.key_header()) for _ in range(3)]
        self.assertEqual([200, 200, 429], [answer.status for answer in told])
        for answer in told:
            policies = dict(http_sf.parse(answer.headers["ratelimit-policy"].encode(), tltype="list"))
            self.assertEqual(["burst", "per.day", "monthly"], list(policies))
            self.assertEqual([100, 2, 500], [parameters["q"] for parameters in policies.values()])
            for parameters in policies.values():
                self.assertEqual({"q", "w"}, set(parameters))
                self.assertTrue(all(type(value) is int and value > 0 for value in parameters.values()), parameters)
            standing = dict(http_sf.parse(answer.headers["ratelimit"].encode(), tltype="list"))
            self.assertLessEqual(set(standing), set(policies))
            for parameters in standing.values():
                self.assertTrue(all(type(value) is int and value >= 0 for value in parameters.values()), parameters)
        denied = told[-1]
        self.assertEqual({"per.day"}, set(standing), "of a denial, what denied")
        self.assertEqual(0, standing["per.day"]["r"])
        self.assertGreaterEqual(int(denied.headers["retry-after"]), standing["per.day"]["t"])
        self.assertEqual((QUOTA_EXCEEDED, ["per.day"]), (denied.json["type"], denied.json["violated-policies"]))
