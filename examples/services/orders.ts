/** An example service: `GET /orders`. Alone: `PORT=3003 node examples/services/orders.ts`. */
import type { Server } from "node:http";
import { jsonService, serveIfMain } from "./json-service.ts";

export function ordersService(): Server {
  return jsonService((path, server) =>
    path === "/orders" ? { orders: [{ id: "17", item: "analytical engine", count: 1 }], ...server } : undefined,
  );
}

await serveIfMain(import.meta, ordersService, 3003);
