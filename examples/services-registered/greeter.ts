/** A service that announces itself: `PORT=3011 ETCD=http://127.0.0.1:2379 node examples/services-registered/greeter.ts`. */
import { createServer } from "node:http";
import { measure, register } from "@headgate/client";
import { listen } from "../services/json-service.ts";

const server = createServer((_request, response) => {
  response.setHeader("content-type", "text/plain");
  response.end("Good day\n");
});
measure(server);

const registration = await register({
  service: "greeter",
  address: await listen(server, Number(process.env["PORT"] ?? 3011)),
  to: { etcd: [process.env["ETCD"] ?? "http://127.0.0.1:2379"] },
  health: true,
  server,
  log: (_level, message) => console.log(message),
  onDrained: () => console.log("drained"),
});
registration.onState((state) => console.log(`now ${state}`));
