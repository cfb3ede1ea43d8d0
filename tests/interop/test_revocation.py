"""From the revocation to the last door that shuts: the gate, and nginx with the same CA's list beside it."""

from gate import LOGS, GateTest
from revocation import WAYS, Nginx, table, watch_gate, watch_nginx

DENIED_WITHIN_MS = 1000                                # p99 in the design; a test machine is busy with other things
PUBLISHED_WITHIN_MS = 2000


class Revocation(GateTest):
    def test_every_door_shuts_at_once(self):
        seen, sent, answered, answer = watch_gate(self.gate, "watched")
        self.assertGreaterEqual(answer["connections_closed"], 2, "the open HTTP/1.1 and HTTP/2 connections at least")
        self.assertGreater(answer["effective_after_ms"], 0)
        for way, title in WAYS.items():
            with self.subTest(title):
                denied = seen[way]
                self.assertIsNotNone(denied.at, "never denied")
                self.assertLess(denied.after_ms(sent), DENIED_WITHIN_MS)
                self.assertEqual(0, denied.served_after(answered), "served although it began after the revocation's answer")
        for source in seen.keys() - WAYS.keys():
            with self.subTest(source):
                self.assertIsNotNone(seen[source].at, "never published")
                self.assertLess(seen[source].after_ms(sent), PUBLISHED_WITHIN_MS)

        nginx = Nginx(self.gate, self.gate.scratch).start()
        try:
            beside, nginx_sent, _ = watch_nginx(self.gate, nginx, "watched-by-nginx")
        finally:
            nginx.stop()
        self.assertIsNotNone(beside["new"].at, "nginx, too, refuses a new connection once it has the list")
        told = table(seen, sent, answered, beside, nginx_sent)
        (LOGS / "revocation-table.txt").write_text(told + "\n")
        print(told)
