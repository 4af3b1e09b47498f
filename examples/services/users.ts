/** An example service: `GET /users`, `GET /users/ID`. Alone: `PORT=3001 node examples/services/users.ts`. */
import type { Server } from "node:http";
import { jsonService, serveIfMain } from "./json-service.ts";

const users = [
  { id: "1", name: "Ada" },
  { id: "2", name: "Grace" },
  { id: "3", name: "Margaret" },
];

export function usersService(): Server {
  return jsonService((path, server) => {
    if (path === "/users") return { users, ...server };
    const user = users.find(({ id }) => path === `/users/${id}`);
    return user && { ...user, ...server };
  });
}

await serveIfMain(import.meta, usersService, 3001);
