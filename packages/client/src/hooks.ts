import { processMeter, type Meter } from "./meter.ts";

// Structural: the package imports no framework, and works with every version that calls its hooks like this.

interface RawResponse {
  on(event: "close", listener: () => void): unknown;
}

interface Server {
  prependListener(event: "request", listener: (request: unknown, response: RawResponse) => void): unknown;
}

interface FastifyLike {
  addHook(
    name: "onRequest",
    hook: (request: unknown, reply: { readonly raw: RawResponse }, done: () => void) => void,
  ): unknown;
}

/**
 * `close` comes once for every response, also for one whose client went away, which `finish` does not. So `on` will do:
 * `once` makes a wrapper and takes itself off again, which costs more than all the rest here.
 */
function count(meter: Meter, response: RawResponse): void {
  const began = meter.begin();
  response.on("close", () => meter.end(began));
}

/** Counts the requests of a `node:http` (or `https`, `http2`) server: `measure(server)`. Also what is behind Express. */
export function measure(server: Server, meter: Meter = processMeter): void {
  server.prependListener("request", (_request, response) => count(meter, response));
}

/** Express and Connect: `app.use(expressMeasure())`, before what it shall count. */
export function expressMeasure(meter: Meter = processMeter) {
  return (_request: unknown, response: RawResponse, next: () => void): void => {
    count(meter, response);
    next();
  };
}

/** Fastify: `app.register(fastifyMeasure)`, or with `{ meter }`. */
export function fastifyMeasure(
  app: FastifyLike,
  { meter = processMeter }: { readonly meter?: Meter },
  done: () => void,
): void {
  app.addHook("onRequest", (_request, reply, next) => {
    count(meter, reply.raw);
    next();
  });
  done();
}

// What fastify-plugin does: the hook is for the whole application, not for what is registered below it.
Object.assign(fastifyMeasure, {
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "headgate",
});

/** Hono: `app.use(honoMeasure())`. Counts until the response is made; Hono does not say when it was sent. */
export function honoMeasure(meter: Meter = processMeter) {
  return async (_context: unknown, next: () => Promise<void>): Promise<void> => {
    const began = meter.begin();
    try {
      await next();
    } finally {
      meter.end(began);
    }
  };
}

/** Koa: `app.use(koaMeasure())`, first. */
export function koaMeasure(meter: Meter = processMeter) {
  return (context: { readonly res: RawResponse }, next: () => Promise<unknown>): Promise<unknown> => {
    count(meter, context.res);
    return next();
  };
}
