import type { GatewayError } from "../core/errors.ts";
import type { RequestBody } from "./http1/request-body.ts";
import type { UpstreamCall } from "./upstream/call.ts";

/** What is under way for an exchange behind its chain, as the wire side sees it: attempts, or a message being queued. */
export interface ExchangeRun {
  /** The call whose head was accepted. */
  readonly answered: UpstreamCall | undefined;
  /** Nothing more will be tried. */
  readonly settled: boolean;
  /** Ends it from outside (the client went away, the exchange's time is over, a step replaced the answer). */
  abort(error: GatewayError): void;
  /** The instance switched protocols: what follows belongs to the tunnel. */
  leaveToTunnel(): void;
  /** The tunnel is closed. */
  endTunnel(): void;
  /** The answer waits for the client, which is not the instance's fault: its silence does not count meanwhile. */
  pauseIdle(): void;
  /** The client takes bytes again. */
  resumeIdle(): void;
}

/**
 * The wire side of an exchange, as the forward step sees it: what is needed to send the request on and to give the
 * answer back, whatever protocol the client speaks.
 */
export interface Carrier {
  /**
   * The request's head as field lines for an instance, forwarding fields included, without the empty line. `nowMs`: when
   * it is sent, for what is left of the exchange's time.
   */
  requestLines(extraNames: readonly string[] | undefined, nowMs: number): string;
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
  /** What the last step has begun; an answer's body is taken from here once the chain is done. */
  run: ExchangeRun | undefined;
  /** Whether the request has a key that tells an instance when it comes twice: then it may, whatever its method. */
  readonly carriesKey: boolean;
  /** Sends a 1xx head: its lines without the empty line. */
  interim(lines: string): void;
  /** Reads on from the client after back-pressure. */
  resumeBody(): void;
  /** The answer broke off after its head was sent or promised. */
  cut(): void;
}
