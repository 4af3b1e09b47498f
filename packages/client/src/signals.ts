import { constants } from "node:os";

const signals = ["SIGTERM", "SIGINT"] as const;

type Leave = () => Promise<void>;

// Of the process, as signals are: with two registrations, the one that is done first must not end the process under the
// other one.
const leaving = new Set<Leave>();
let isWatching = false;

/**
 * Has `leave` called at SIGTERM or SIGINT, before the signal does what it does by default. A second signal ends the
 * process at once. Where the service has a listener of its own for the signal, ending is left to it. Returns how to
 * undo it.
 */
export function leaveOnSignal(leave: Leave): () => void {
  leaving.add(leave);
  if (!isWatching) {
    isWatching = true;
    for (const signal of signals) process.on(signal, onSignal);
  }
  return () => {
    leaving.delete(leave);
    if (leaving.size === 0) unwatch();
  };
}

function unwatch(): void {
  isWatching = false;
  for (const signal of signals) process.off(signal, onSignal);
}

function onSignal(signal: NodeJS.Signals): void {
  const all = [...leaving];
  leaving.clear();
  unwatch();
  for (const again of signals) process.on(again, end);
  void Promise.allSettled(all.map((leave) => leave())).then(() => end(signal));
}

function end(signal: NodeJS.Signals): void {
  for (const other of signals) process.off(other, end);
  if (process.listenerCount(signal) > 0) return;
  // The kernel spares process 1 of a container from the default of a signal, also of one it sends itself.
  if (process.pid === 1) process.exit(128 + constants.signals[signal]);
  process.kill(process.pid, signal);
}
