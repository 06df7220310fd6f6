// k6 script: the job of tools/load/mixed.lua: 97 % of decisions of known users in turn, 3 % of a new
// one.
//   k6 run -e NUDGED_URL=http://127.0.0.1:8080 --vus 64 --duration 10s tools/load/k6.mjs
import http from "k6/http";
import { check } from "k6";
import exec from "k6/execution";

const url = __ENV.NUDGED_URL || "http://127.0.0.1:8080";
const users = Number(__ENV.NUDGED_USERS || 20000);
const round = __ENV.NUDGED_ROUND || `k6-${Date.now()}`;

export const options = {
  discardResponseBodies: true,
  thresholds: { http_req_failed: ["rate<0.0001"], checks: ["rate==1"] },
};

export default function () {
  const count = exec.scenario.iterationInTest;
  // Each new user comes eight times, and is shown one of the eight popups each time.
  const shows = Math.floor(count / 33);
  const newcomer = Math.floor(shows / 512) * 64 + (shows % 64);
  const user = count % 33 === 0 ? `${round}-${newcomer}` : `known-0-${count % users}`;
  // One name for all: k6 keeps figures for each.
  const answer = http.get(`${url}/v1/decide?user=${user}&placement=home`, {
    tags: { name: "decide" },
  });
  check(answer, { "200 or 204": (got) => got.status === 200 || got.status === 204 });
}
