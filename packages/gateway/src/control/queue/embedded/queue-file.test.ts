import { queueModelSuite } from "../queue-model.suite.ts";
import type { OpenQueue } from "../queue.fixtures.ts";
import { queueSuite } from "../queue.suite.ts";
import { openFile, queueOf } from "./queue-file.fixtures.ts";

const open: OpenQueue = (t, limits) => {
  const opened = openFile(t, limits);
  return Promise.resolve({
    queue: queueOf(opened.file()),
    reopen: () => Promise.resolve(queueOf(opened.reopen())),
  });
};

queueSuite("file", open);
queueModelSuite("file", open, 15);
