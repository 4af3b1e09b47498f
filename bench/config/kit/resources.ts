/** Key prefix of a gateway's configuration. */
export const prefix = "/headgate/";

/** What a configuration of so many routes holds, as keys and values: `/api/v1/service-<i>/*` each, to one service. */
export function resourcesOf(routes: number, upstreamPort: number): [key: string, value: string][] {
  const service = { instances: [{ address: `127.0.0.1:${upstreamPort}` }] };
  const entries: [string, string][] = [[`${prefix}services/upstream`, JSON.stringify(service)]];
  for (let i = 0; i < routes; i++) entries.push([routeKey(i), routeValue(i)]);
  return [...entries, [answerKey, answerValue("0")]];
}

export function routeKey(i: number): string {
  return `${prefix}routes/service-${i}`;
}

/** `mark`: makes another value of the same route. */
export function routeValue(i: number, mark = 0): string {
  const match = { path: `/api/v1/service-${i}/*` };
  return JSON.stringify(mark === 0 ? { match, to: "upstream" } : { match, to: "upstream", priority: mark });
}

/** The route that changes while somebody watches; it answers by itself, so that nothing but the gateway is watched. */
export const answerPath = "/answer";
export const answerKey = `${prefix}routes/answer`;

export function answerResource(body: string): object {
  return { match: { path: answerPath }, respond: { status: 200, body } };
}

export function answerValue(body: string): string {
  return JSON.stringify(answerResource(body));
}
