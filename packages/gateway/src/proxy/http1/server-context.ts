import type { Clock } from "../../core/clock.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { Wheel } from "../../core/wheel.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { HeadLimits } from "./grammar.ts";
import type { ServerExchange } from "./server-exchange.ts";

/** What every client connection of a thread shares. */
export interface ServerContext {
  readonly clock: Clock;
  readonly wheel: Wheel;
  readonly limits: HeadLimits;
  readonly timeouts: {
    readonly requestHeadMs: number;
    readonly requestBodyIdleMs: number;
    readonly keepAliveMs: number;
  };
  /** No new exchange is begun on a connection: answers carry `Connection: close`. */
  readonly draining: boolean;
  /** Whether the forwarding headers of this peer are believed. */
  trusted(ip: string): boolean;
  makeId(): string;
  /** Runs the chain; ends in `carrier.answer()` or `carrier.fail()`. Does not throw. */
  handle(carrier: ServerExchange): void;
  /** The exchange is over: counts and logs it. */
  finished(carrier: ServerExchange): void;
  /** A request that never became an exchange was refused with this code. */
  refused(code: ErrorCode): void;
  closed(connection: ClientConnection): void;
}
