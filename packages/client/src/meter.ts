import { systemTime } from "./core/time.ts";

/** Counts requests for health reports and draining. Two additions and two looks at the clock for each request. */
export interface Meter {
  /** Requests that began and have not ended. */
  readonly inFlight: number;
  /** Whether anything was ever counted: 0 in flight says nothing where nobody counts. */
  readonly isUsed: boolean;
  /** A request begins. Resolves nothing, allocates nothing: keep what it returns for `end`. */
  begin(): number;
  /** The request that began with `began` ends. */
  end(began: number): void;
  /** Mean duration in milliseconds of what ended since the last call; undefined if nothing did. */
  takeMeanMs(): number | undefined;
}

/** A meter of its own, for a process with several services: give it to the hooks and to `register`. */
export function createMeter(now: () => number = systemTime.now): Meter {
  let inFlight = 0;
  let isUsed = false;
  let sumMs = 0;
  let ended = 0;
  return {
    get inFlight() {
      return inFlight;
    },
    get isUsed() {
      return isUsed;
    },
    begin() {
      isUsed = true;
      inFlight++;
      return now();
    },
    end(began) {
      inFlight--;
      sumMs += now() - began;
      ended++;
    },
    takeMeanMs() {
      const meanMs = ended === 0 ? undefined : sumMs / ended;
      sumMs = 0;
      ended = 0;
      return meanMs;
    },
  };
}

/** What hooks and registrations use unless they are given another. */
export const processMeter: Meter = createMeter();
