import { queueSuite } from "../queue.suite.ts";
import { openFile, queueOf } from "./queue-file.fixtures.ts";

queueSuite("file", (t, limits) => {
  const opened = openFile(t, limits);
  return Promise.resolve({
    queue: queueOf(opened.file()),
    reopen: () => Promise.resolve(queueOf(opened.reopen())),
  });
});
