import { z } from "zod";
import { GatewayError } from "../../core/errors.ts";
import { compileNetworks, parseNetwork } from "../../core/networks.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

const network = z.string().refine((text) => parseNetwork(text) !== undefined, {
  error: "expected an address or a network such as 10.0.0.0/8 or 2001:db8::/32",
});
const list = z.array(network).prefault([]);

/** Lets clients in by address, or answers HG_FORBIDDEN. Runs once per exchange. */
export default defineMiddleware({
  name: "ip-restriction",
  config: z.strictObject({ allow: list, deny: list }).refine(({ allow, deny }) => allow.length + deny.length > 0, {
    error: 'restricts nothing: name networks under "allow", "deny" or both',
  }),
  build({ allow, deny }) {
    const denied = compileNetworks(deny);
    const allowed = allow.length === 0 ? () => true : compileNetworks(allow);
    return function ipRestriction(exchange, next) {
      const { ip } = exchange.client;
      // The answer does not say which list it was: that would help only who tries addresses.
      if (denied(ip) || !allowed(ip))
        throw new GatewayError("HG_FORBIDDEN", { detail: "Your address is not allowed." });
      return next();
    };
  },
});
