import assert from "node:assert/strict";
import { test } from "node:test";
import type { TrafficReport } from "../control/replay.ts";
import { trafficText } from "./traffic-text.ts";

const quiet: TrafficReport = {
  requests: 10_000,
  moved: [],
  notFound: [],
  found: [],
  authentication: { lost: [], gained: [] },
};

test("what recent traffic would notice is told in sentences", () => {
  const example = "GET a.test/x";
  const lines = trafficText({
    ...quiet,
    moved: [
      { from: "r17", to: "r9", count: 412, example },
      { from: "r1", to: "r2", count: 1, example },
    ],
    notFound: [{ from: "r17", count: 37, example }],
    found: [{ to: "r3", count: 1_200, example }],
    authentication: {
      lost: [{ route: "r4", count: 5, example }],
      gained: [{ route: "r5", count: 1, example }],
    },
    others: { moved: 8, notFound: 7, found: 6, lost: 5, gained: 4 },
    unseen: ["headers.x-team", "clients"],
  });
  assert.deepEqual(lines, [
    "412 of 10,000 recent requests move from r17 to r9, such as GET a.test/x.",
    "1 of 10,000 recent requests moves from r1 to r2, such as GET a.test/x.",
    "8 more of 10,000 recent requests move between other routes.",
    "37 of 10,000 recent requests lose their route r17 and get 404, such as GET a.test/x.",
    "7 more of 10,000 recent requests lose other routes and get 404.",
    "1,200 of 10,000 recent requests that got 404 go to r3, such as GET a.test/x.",
    "6 more of 10,000 recent requests that got 404 go to other routes.",
    "5 of 10,000 recent requests to r4 are no longer asked who sent them, such as GET a.test/x.",
    "5 more of 10,000 recent requests to other routes are no longer asked who sent them.",
    "1 of 10,000 recent requests to r5 is asked who sent it and was not before, such as GET a.test/x.",
    "4 more of 10,000 recent requests to other routes are asked who sent them and were not before.",
    "The change looks at headers.x-team, clients, which nobody looked at so far: the requests were tried as if they had none.",
  ]);
});

test("traffic that would notice nothing, and none at all, are told as such", () => {
  assert.deepEqual(trafficText(quiet), ["All 10,000 recent requests go where they went."]);
  assert.deepEqual(trafficText({ ...quiet, requests: 1 }), ["The 1 recent request goes where it went."]);
  assert.deepEqual(trafficText({ ...quiet, requests: 0 }), ["There were no recent requests to try it on."]);
});
