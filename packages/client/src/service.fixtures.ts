/**
 * A service as a process of its own: `node service.fixtures.ts OPTIONS`, the JSON of RegisterOptions; one that serves may
 * leave the address out. Prints a line for everything that happens. `/slow` answers when the draining has begun, and a little later.
 */
import { createServer } from "node:http";
import { measure, register, type RegisterOptions } from "./index.ts";

type Options = Omit<RegisterOptions, "address"> & { address?: string; serve?: boolean; own?: boolean };
const options = JSON.parse(process.argv[2] ?? "{}") as Options; // a test's own
const say = (line: string): void => console.log(line);

const server = createServer((request, response) => {
  if (request.url !== "/slow") return void response.end("ok");
  say("slow begins");
  process.once("SIGUSR2", () => {
    say("slow ends");
    response.end("slow");
  });
});
let served = "";
if (options.serve === true) {
  measure(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address === "object" && address !== null) {
    served = `127.0.0.1:${address.port}`;
    say(`port ${address.port}`);
  }
}
if (options.own === true) process.on("SIGTERM", () => say("own listener"));
const registration = await register({
  ...options,
  address: options.address ?? served,
  server,
  log: (level, message) => say(`${level}: ${message}`),
  onDrained: () => say("drained"),
});
say(`state ${registration.state}`);
registration.onState((state) => say(`state ${state}`));
