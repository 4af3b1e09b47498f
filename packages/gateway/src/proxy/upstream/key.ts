import type { BalanceSettings } from "@headgate/schema";
import type { Exchange } from "../exchange.ts";

/** Gives the text of a request that decides which instance it goes to; undefined where the request has none. */
export type KeyOf = (exchange: Exchange) => string | undefined;

/** How that text is found for a policy; undefined where the policy looks at none. Runs once per snapshot. */
export function keyReader(settings: BalanceSettings): KeyOf | undefined {
  if (settings.policy === "sticky") {
    const { cookie } = settings;
    return ({ request }) => request.cookie(cookie);
  }
  if (settings.policy !== "hash") return undefined;
  const { key } = settings;
  if (key.from === "client") return ({ client }) => client.ip;
  const { name } = key;
  switch (key.from) {
    case "header":
      return ({ request }) => request.headers.get(name);
    case "cookie":
      return ({ request }) => request.cookie(name);
    case "query":
      return ({ request }) => request.queryParam(name);
    case "param":
      return ({ match }) => match.params[name];
  }
}
