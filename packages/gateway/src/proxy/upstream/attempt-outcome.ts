/**
 * How an attempt ended, as breakers and outlier detection see it. `ignored`: it says nothing of the instance (the client
 * left, the gateway refused by itself).
 */
export type AttemptOutcome = "success" | "failure" | "ignored";
