import type { TestContext } from "node:test";
import { systemClock } from "../../../core/clock.ts";
import type { Clock } from "../../../core/clock.ts";
import { temporaryDirectory } from "../../store/embedded/embedded.fixtures.ts";
import type { Queue, QueueLimits } from "../queue.ts";
import { QueueFile } from "./queue-file.ts";

/** A file as a queue without its thread: each call is a commit of its own. */
export function queueOf(file: QueueFile): Queue {
  const call =
    <Args extends unknown[], Result>(action: (...args: Args) => Result) =>
    (...args: Args): Promise<Result> => {
      let result: Result | undefined;
      try {
        file.transaction(() => (result = action.apply(file, args)));
        return Promise.resolve(result as Result); // the action has run
      } catch (error) {
        return Promise.reject(error); // QueueErrors, and SQLite's
      }
    };
  return {
    enqueue: call(file.enqueue),
    due: call(file.due),
    reserve: call(file.reserve),
    renew: call(file.renew),
    release: call(file.release),
    ack: call(file.ack),
    nack: call(file.nack),
    bury: call(file.bury),
    expire: call(file.expire),
    list: call(file.list),
    get: call(file.get),
    replay: call(file.replay),
    purge: call(file.purge),
    stats: call(file.stats),
    close: () => Promise.resolve(file.close()),
  };
}

/** A file in a directory of the test's own. */
export function openFile(t: TestContext, limits: QueueLimits, clock: Pick<Clock, "wall"> = systemClock) {
  const directory = temporaryDirectory(t);
  let file = new QueueFile(directory, limits, clock);
  t.after(() => file.close());
  return {
    directory,
    file: () => file,
    reopen: () => {
      file.close();
      file = new QueueFile(directory, limits, clock);
      return file;
    },
  };
}
