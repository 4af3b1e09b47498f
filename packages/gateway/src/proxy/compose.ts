import { GatewayError } from "../core/errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Middleware } from "./middleware.ts";

/** The rest of a chain as one function. */
export type Chain = (exchange: Exchange) => Promise<void>;

/** A step with its condition, ready to run. */
export interface Step {
  readonly handle: Middleware;
  /** Where it is false the step is passed over. */
  readonly when?: ((exchange: Exchange) => boolean) | undefined;
}

/**
 * Links steps and the last action into one function, the first step outermost. Runs when a snapshot is used first; the
 * chain costs one closure a step an exchange, and a promise only where a step awaits.
 */
export function compose(steps: readonly Step[], last: Chain): Chain {
  return steps.reduceRight<Chain>((rest, step) => link(step, rest), last);
}

const done = Promise.resolve();
const ignore = (): void => {};

function link({ handle, when }: Step, rest: Chain): Chain {
  const run: Chain = (exchange) => {
    let answer: Promise<void> | undefined;
    let returned = false;
    const next = (): Promise<void> => {
      if (answer !== undefined) {
        return Promise.reject(
          new GatewayError("HG_INTERNAL", { cause: new Error("a middleware called next() twice") }),
        );
      }
      answer = rest(exchange);
      // A rejection that the step does not wait for must not end the thread.
      if (returned) answer.catch(ignore);
      return answer;
    };
    try {
      const result = handle(exchange, next);
      returned = true;
      // A step that calls next() without returning or awaiting it must not send an answer that is not there yet.
      if (result === undefined) return answer ?? done;
      if (answer !== undefined && answer !== result) answer.catch(ignore);
      return result;
    } catch (error) {
      // `next` may have been called before it threw.
      answer?.catch(ignore);
      // Steps further out see one kind of failure, a rejection.
      return Promise.reject(error);
    }
  };
  if (when === undefined) return run;
  return (exchange) => (when(exchange) ? run(exchange) : rest(exchange));
}
