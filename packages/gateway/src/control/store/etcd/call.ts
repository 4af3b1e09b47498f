import { Metadata, status as codes, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import type { Timers } from "../../../core/timers.ts";
import type { Endpoint } from "./endpoint.ts";
import type { CallFailure } from "./errors.ts";
import type { Sent } from "./messages.ts";
import type { Method } from "./rpc.ts";

/** A call that ended in a failure; only within this folder. */
export class CallError extends Error {
  readonly failure: CallFailure;

  constructor(failure: CallFailure) {
    super(failure.details);
    this.failure = failure;
  }
}

export interface CallOptions {
  readonly token: string | undefined;
  readonly timeoutMs: number;
  readonly timers: Timers;
  /** Tells how to end it early. */
  readonly onStart: (cancel: () => void) => void;
}

export function metadataOf(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("token", token);
  return metadata;
}

export function failureOf(endpoint: Endpoint, error: Partial<StatusObject>): CallFailure {
  return { endpoint: endpoint.url, code: error.code ?? codes.UNKNOWN, details: error.details ?? "it gave no reason" };
}

/** One request to one endpoint, and its answer. Rejects with a CallError. */
export function callOnce<Request, Response>(
  endpoint: Endpoint,
  method: Method<Request, Response>,
  request: Sent<Request>,
  options: CallOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const client = endpoint.client();
    const fail = (error: Partial<StatusObject>): void => {
      stopTimer();
      reject(new CallError(failureOf(endpoint, error)));
    };
    const answer = (error: ServiceError | null, response?: Response): void => {
      if (error !== null || response === undefined) return fail(error ?? {});
      stopTimer();
      resolve(response);
    };
    const { path, requestSerialize, responseDeserialize } = method;
    const metadata = metadataOf(options.token);
    const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, answer);
    const cancel = (details: string): void => {
      fail({ code: codes.DEADLINE_EXCEEDED, details });
      call.cancel();
    };
    const stopTimer = options.timers.after(options.timeoutMs, () => cancel(noAnswer(options.timeoutMs)));
    options.onStart(() => cancel("the connection was closed"));
  });
}

/** One request on a stream of its own, and the first answer. Rejects with a CallError. */
export function streamOnce<Request, Response>(
  endpoint: Endpoint,
  method: Method<Request, Response>,
  request: Sent<Request>,
  options: CallOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method;
    const stream = endpoint
      .client()
      .makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadataOf(options.token));
    const fail = (error: Partial<StatusObject>): void => {
      stopTimer();
      reject(new CallError(failureOf(endpoint, error)));
    };
    const cancel = (details: string): void => {
      fail({ code: codes.DEADLINE_EXCEEDED, details });
      stream.cancel();
    };
    const stopTimer = options.timers.after(options.timeoutMs, () => cancel(noAnswer(options.timeoutMs)));
    options.onStart(() => cancel("the connection was closed"));
    stream.on("data", (response: Response) => {
      stopTimer();
      resolve(response);
      stream.end();
    });
    stream.on("error", fail);
    stream.on("end", () => fail({ code: codes.UNAVAILABLE, details: "the stream ended without an answer" }));
    stream.write(request);
  });
}

function noAnswer(timeoutMs: number): string {
  return `no answer within ${timeoutMs / 1000} s`;
}
