# locust script: the job of tools/load/mixed.lua: 97 % of decisions of known users in turn, 3 % of a
# new one.
#   locust -f tools/load/locustfile.py --headless -u 64 -r 64 -t 10s -H http://127.0.0.1:8080
# locust itself takes hundreds of µs a request: it shows latencies at low rates, not what a server
# can do.
import itertools
import os
import time

from locust import FastHttpUser, constant, task

USERS = int(os.environ.get("NUDGED_USERS", "20000"))
ROUND = os.environ.get("NUDGED_ROUND", f"locust-{time.time_ns()}")
COUNT = itertools.count()


class Visitor(FastHttpUser):
    wait_time = constant(0)

    @task
    def decide(self):
        count = next(COUNT)
        # Each new user comes eight times, and is shown one of the eight popups each time.
        shows = count // 33
        newcomer = shows // 512 * 64 + shows % 64
        user = f"known-0-{count % USERS}" if count % 33 else f"{ROUND}-{newcomer}"
        # One name for all: locust keeps figures for each.
        self.client.get(f"/v1/decide?user={user}&placement=home", name="decide")
