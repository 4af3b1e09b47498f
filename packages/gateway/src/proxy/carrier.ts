import type { ForwardRun } from "./attempt.ts";
import type { RequestBody } from "./http1/request-body.ts";

/**
 * The wire side of an exchange, as the forward step sees it: what is needed to send the request on and to give the
 * answer back, whatever protocol the client speaks.
 */
export interface Carrier {
  /** The request's head as field lines for an instance, forwarding fields included, without the empty line. */
  requestLines(extraNames: readonly string[] | undefined): string;
  /** Absent where the request has no body. */
  readonly body: RequestBody | undefined;
  /** The client asked for another protocol (WebSocket). */
  readonly upgrade: boolean;
  /** The client waits for 100 Continue before it sends the body. */
  readonly expectsContinue: boolean;
  /** The client does not understand the chunked coding (HTTP/1.0). */
  readonly dechunk: boolean;
  /** The exchange has ended: a step that goes on nevertheless must not send anything. */
  readonly over: boolean;
  /** The attempts of this exchange; their answer's body is taken from here once the chain is done. */
  run: ForwardRun | undefined;
  /** Sends a 1xx head: its lines without the empty line. */
  interim(lines: string): void;
  /** Reads on from the client after back-pressure. */
  resumeBody(): void;
  /** The answer broke off after its head was sent or promised. */
  cut(): void;
}
