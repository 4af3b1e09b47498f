import { FakeClock } from "../../../../../../tests/kit/clock.ts";
import { storeSuite } from "../store.suite.ts";
import { openStore, temporaryDirectory } from "./embedded.fixtures.ts";

storeSuite("embedded", async (t) => {
  const clock = new FakeClock();
  return { store: openStore(t, temporaryDirectory(t), clock), advance: (ms) => clock.advance(ms) };
});
