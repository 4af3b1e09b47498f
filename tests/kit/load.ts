import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { Scope } from "./scope.ts";

/** A request that is repeated, and what its answer must be. */
export interface Question {
  readonly target: string;
  /** What is wrong with an answer; undefined: nothing. */
  readonly judge: (status: number, body: string, headers: http.IncomingHttpHeaders) => string | undefined;
}

export interface LoadOptions {
  readonly port: number;
  readonly questions: readonly Question[];
  /** Keep-alive connections that ask at the same time. Default 4. */
  readonly connections?: number;
  /** Between an answer and the next request of a connection. Default 10. */
  readonly pauseMs?: number;
}

/** Requests without end, and all that went wrong with them. */
export interface Load {
  /** Requests that were answered as they should. */
  readonly answered: number;
  /** Requests that failed or were answered wrongly. */
  readonly failed: number;
  /** The first failures, one line each, with their time. */
  readonly failures: readonly string[];
  /** Waits until `count` more requests were answered, whether well or not. */
  more(count: number): Promise<void>;
  /** Resolves when the last request was answered. */
  stop(): Promise<void>;
}

const failuresKept = 20;
/** Nothing that happens to a store may hold up a request for so long. */
const answerMsMax = 5_000;

/** Asks a gateway all questions in turn, over several connections, until it is stopped. */
export function startLoad(scope: Scope, options: LoadOptions): Load {
  const load = new RunningLoad(options);
  scope.after(() => load.stop());
  return load;
}

class RunningLoad implements Load {
  answered = 0;
  failed = 0;
  readonly failures: string[] = [];
  readonly #options: LoadOptions;
  readonly #agent: http.Agent;
  readonly #done: Promise<unknown>;
  #stopped = false;

  constructor(options: LoadOptions) {
    const { connections = 4 } = options;
    this.#options = options;
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: connections });
    this.#done = Promise.all(Array.from({ length: connections }, (_, index) => this.#run(index)));
  }

  async more(count: number): Promise<void> {
    const wanted = this.answered + this.failed + count;
    while (this.answered + this.failed < wanted && !this.#stopped) await pause(2);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    this.#agent.destroy();
  }

  async #run(first: number): Promise<void> {
    const { questions, pauseMs = 10 } = this.#options;
    for (let at = first; !this.#stopped; at++) {
      const question = questions[at % questions.length];
      if (question === undefined) throw new Error("a load needs questions");
      const wrong = await this.#ask(question).catch((error: unknown) => String(error));
      if (wrong === undefined) this.answered++;
      else {
        this.failed++;
        const line = `${new Date().toISOString()} ${question.target}: ${wrong}`;
        if (this.failures.length < failuresKept) this.failures.push(line);
      }
      await pause(pauseMs);
    }
  }

  #ask({ target, judge }: Question): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const { port } = this.#options;
      const signal = AbortSignal.timeout(answerMsMax);
      const request = http.get({ host: "127.0.0.1", port, path: target, agent: this.#agent, signal }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => (body += text));
        response.on("error", reject);
        response.on("end", () => resolve(judge(response.statusCode ?? 0, body, response.headers)));
      });
      request.on("error", reject);
    });
  }
}

/** The answer must be a 200 with this body. */
export function says(target: string, body: string): Question {
  return {
    target,
    judge: (status, heard) =>
      status === 200 && heard === body ? undefined : `${status} ${JSON.stringify(heard.slice(0, 200))}`,
  };
}
