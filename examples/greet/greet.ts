import { defineMiddleware, z } from "headgate";

/** Greets whoever asks: tells the service, and the client, by name where an authenticator in front found one. */
export default defineMiddleware({
  name: "greet",
  config: z.strictObject({ greeting: z.string().min(1).default("Hello") }),
  build({ greeting }) {
    return async function greet(exchange, next) {
      const text = `${greeting}, ${exchange.consumer?.name ?? exchange.client.ip}`;
      exchange.request.headers.set("x-greeting", text);
      await next();
      exchange.response.headers.set("x-greeted", text);
    };
  },
});
