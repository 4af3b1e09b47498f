import type { ExchangeRequest } from "./exchange.ts";
import type { RequestBody } from "./http1/request-body.ts";
import { writeCopy, writeTogether } from "./http1/wire.ts";
import type { UpstreamConnection } from "./upstream/connection.ts";

// What a step may have put into a path: anything beyond visible ASCII would end the request line early or change it.
const notInTarget = /[^\x21-\x7e]/;

/** Path and query for the request line; undefined where a step made them something HTTP forbids. */
export function targetOf(request: ExchangeRequest): string | undefined {
  const target = request.path + request.search;
  return target.charCodeAt(0) !== 47 || notInTarget.test(target) ? undefined : target;
}

/** What happens while a request leaves. */
export interface SendEvents {
  /** Bytes of the body are about to be written. */
  onBody(): void;
  /** All of it was written. */
  onSent(): void;
}

/**
 * Writes a request with a body: the head in one write with what of the body has come, then the rest as it comes. Returns whether to
 * go on reading the body.
 */
export function sendWithBody(
  { socket }: UpstreamConnection,
  head: string,
  body: RequestBody,
  events: SendEvents,
): boolean {
  let unsent: string | undefined = head;
  const more = body.attach({
    write(buffer, from, to) {
      events.onBody();
      if (unsent === undefined) return writeCopy(socket, buffer, from, to);
      const text = unsent;
      unsent = undefined;
      return writeTogether(socket, text, buffer.subarray(from, to));
    },
    end() {
      events.onSent();
    },
  });
  if (unsent !== undefined) {
    socket.write(unsent, "latin1");
    unsent = undefined;
  }
  return more;
}
