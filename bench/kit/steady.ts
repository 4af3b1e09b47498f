import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";

/** One request of a steady load, and what became of it. */
export interface Sample {
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly tookMs: number;
  /** 0: no whole answer came. */
  readonly status: number;
}

export interface SteadyLoad extends AsyncDisposable {
  /** Stops asking; resolves with every sample when the last answer has come or been given up. */
  stop(): Promise<readonly Sample[]>;
}

/**
 * Asks so many times a second, whether or not the answers come (an open model: clients do not wait for each other), and
 * gives each answer `patienceMs`.
 */
export function startSteadyLoad(port: number, perSecond: number, patienceMs: number, path = "/"): SteadyLoad {
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
  const samples: Promise<Sample>[] = [];
  let stopped = false;
  const run = async (): Promise<void> => {
    const fromMs = performance.now();
    for (let sent = 0; !stopped; sent++) {
      const dueMs = fromMs + (sent * 1000) / perSecond;
      const waitMs = dueMs - performance.now();
      if (waitMs > 1) await pause(waitMs);
      samples.push(ask(agent, port, path, patienceMs));
    }
  };
  const done = run();
  const stop = async (): Promise<readonly Sample[]> => {
    stopped = true;
    await done;
    const all = await Promise.all(samples);
    agent.destroy();
    return all;
  };
  return {
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

function ask(agent: http.Agent, port: number, path: string, patienceMs: number): Promise<Sample> {
  const startedMs = Date.now();
  const fromMs = performance.now();
  return new Promise((resolve) => {
    const end = (status: number): void => {
      clearTimeout(timer);
      resolve({ startedMs, tookMs: performance.now() - fromMs, status });
    };
    const request = http.get({ host: "127.0.0.1", port, path, agent }, (response) => {
      response.on("error", () => end(0));
      response.on("close", () => end(response.complete ? (response.statusCode ?? 0) : 0));
      response.resume();
    });
    request.on("error", () => end(0));
    const timer = setTimeout(() => {
      end(0);
      request.destroy();
    }, patienceMs);
  });
}
