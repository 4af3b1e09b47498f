import { GatewayError } from "../core/errors.ts";
import type { Exchange } from "./exchange.ts";
import { Fields } from "./http1/fields.ts";
import { fieldLines } from "./http1/write-head.ts";
import type { Attempt, AttemptHook } from "./middleware.ts";

/** One attempt as its hooks see it, and the fields they set for it. */
export class HookedAttempt implements Attempt {
  readonly exchange: Exchange;
  readonly number: number;
  readonly service: string;
  readonly instance: string;
  readonly #fields = new Fields();

  constructor(exchange: Exchange, service: string, instance: string) {
    this.exchange = exchange;
    this.number = exchange.attempts;
    this.service = service;
    this.instance = instance;
  }

  setHeader(name: string, value: string): void {
    this.#fields.set(name, value);
  }

  /** Names of the fields that take the place of the request's own, lower case. */
  get names(): string[] {
    return [...this.#fields].map(([name]) => name.toLowerCase());
  }

  get lines(): string {
    return fieldLines(this.#fields, 0, [], undefined);
  }
}

/**
 * The onion of attempt hooks around one try. `last` sends it and resolves when the head is there. Rejects with what a
 * hook throws, and with HG_INTERNAL where a hook never calls next().
 */
export async function runHooks(
  hooks: readonly AttemptHook[],
  attempt: Attempt,
  last: () => Promise<void>,
): Promise<void> {
  let sent = false;
  const run = async (at: number): Promise<void> => {
    const hook = hooks[at];
    if (hook !== undefined) {
      return hook(attempt, () => {
        const rest = run(at + 1);
        // A hook that does not wait for it must not end the thread with its rejection.
        rest.catch(() => {});
        return rest;
      });
    }
    if (sent) throw new GatewayError("HG_INTERNAL", { cause: new Error("an attempt hook called next() twice") });
    sent = true;
    return last();
  };
  await run(0);
  if (!sent) throw new GatewayError("HG_INTERNAL", { cause: new Error("an attempt hook did not call next()") });
}
