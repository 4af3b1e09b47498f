import type { CircuitText } from "../../control/health/circuits.ts";
import { circuitBody, fitting } from "../bodies.ts";
import type { AdminAnswer, AdminEndpoint, AdminRequest } from "../endpoint.ts";
import { authorOf } from "../parameters.ts";
import type { AdminParts } from "../parts.ts";
import { AdminError } from "../problem.ts";

/** Circuit breakers, and how operators hold them. */
export function circuitEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  const found = { "application/json": "CircuitList" } as const;
  return [
    {
      method: "GET",
      path: "/v1/circuits",
      access: "token",
      about: {
        summary: "The circuit breakers of all services that have some, and those that are held.",
        answers: { 200: { description: "By service.", content: found } },
      },
      handle: () => ({ status: 200, json: { circuits: parts.circuits.list() } }),
    },
    {
      method: "GET",
      path: "/v1/circuits/{service}",
      access: "token",
      about: {
        summary: "The circuit breakers of one service: its own, and one for each instance.",
        answers: { 200: { description: "By address.", content: found } },
      },
      handle: ({ parameter }) => {
        const circuits = parts.circuits.list(parameter("service"));
        if (circuits === undefined) throw noService(parameter("service"));
        return { status: 200, json: { circuits } };
      },
    },
    holdEndpoint(
      parts,
      "/v1/circuits/{service}",
      "Holds the circuit breaker of a service open or closed, or lets it go.",
    ),
    holdEndpoint(
      parts,
      "/v1/circuits/{service}/{address}",
      "Holds the circuit breaker of an instance open or closed, or lets it go.",
    ),
  ];
}

function holdEndpoint(parts: AdminParts, path: string, summary: string): AdminEndpoint {
  return {
    method: "PUT",
    path,
    access: "token",
    about: {
      summary,
      headers: ["X-Headgate-Author"],
      body: { "application/json": "CircuitRequest" },
      answers: { 200: { description: "As it is now.", content: { "application/json": "Circuit" } } },
    },
    handle: (request) => hold(parts, request, path.endsWith("{address}")),
  };
}

async function hold({ circuits }: AdminParts, request: AdminRequest, isOfInstance: boolean): Promise<AdminAnswer> {
  const service = request.parameter("service");
  const address = isOfInstance ? request.parameter("address").toLowerCase() : undefined;
  const { state } = fitting(circuitBody, await request.json(), 422);
  const author = authorOf(request.header("x-headgate-author"));
  let circuit: CircuitText | undefined;
  try {
    circuit = circuits.order(service, address, state, author);
  } catch (error) {
    if (error instanceof RangeError) throw new AdminError(409, error.message);
    throw error;
  }
  if (circuit !== undefined) return { status: 200, json: circuit };
  if (circuits.list(service) === undefined) throw noService(service);
  throw new AdminError(
    404,
    `${service} has no instance ${address ?? ""}: GET /v1/circuits/${service} lists those it has.`,
  );
}

function noService(service: string): AdminError {
  return new AdminError(404, `There is no service ${service}: GET /v1/instances lists those there are.`);
}
