import { formatDuration, parseDuration } from "@headgate/schema";
import type { Announcement } from "../../control/registry/announce.ts";
import type { Instances } from "../../control/registry/instances.ts";
import { isAddress, isServiceName } from "../../control/registry/registration.ts";
import { announceBody, fitting, healthBody } from "../bodies.ts";
import type { AdminAnswer, AdminEndpoint, AdminRequest } from "../endpoint.ts";
import type { AdminParts } from "../parts.ts";
import { AdminError } from "../problem.ts";

/** Shorter leases end by themselves while a store changes its leader. */
const ttlMsMin = 2_000;
/** An instance that is gone for longer is none that is coming back. */
const ttlMsMax = 60 * 60_000;
const ttlDefault = "10s";

/** A health report is a few numbers. */
const reportBytesMax = 64 * 1024;

const instancePath = "/v1/instances/{service}/{address}";

/** Which instances there are, and how services in any language announce theirs. */
export function instanceEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return [listEndpoint(parts), serviceEndpoint(parts), ...writeEndpoints(parts)];
}

function listEndpoint({ instances }: AdminParts): AdminEndpoint {
  return {
    method: "GET",
    path: "/v1/instances",
    access: "token",
    about: {
      summary: "The instances of all services, written and announced.",
      answers: { 200: { description: "By service.", content: { "application/json": "InstanceMap" } } },
    },
    handle: () => ({ status: 200, json: { services: instances.all() } }),
  };
}

function serviceEndpoint({ instances }: AdminParts): AdminEndpoint {
  return {
    method: "GET",
    path: "/v1/instances/{service}",
    access: "token",
    about: {
      summary: "The instances of one service.",
      answers: { 200: { description: "By address.", content: { "application/json": "InstanceList" } } },
    },
    handle: ({ parameter }) => {
      const service = parameter("service");
      const found = instances.of(service);
      if (found !== undefined) return { status: 200, json: { instances: found } };
      throw new AdminError(404, `There is no service ${service}: GET /v1/instances lists those there are.`);
    },
  };
}

function writeEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  const done = { "application/json": "InstanceResult" } as const;
  return [
    {
      method: "PUT",
      path: instancePath,
      access: "token",
      about: {
        summary: "Announces an instance, or keeps it alive.",
        body: { "application/json": "AnnounceRequest" },
        answers: {
          200: { description: "It was there, and stays for `ttl`.", content: { "application/json": "AnnounceResult" } },
          201: { description: "It is there for `ttl`.", content: { "application/json": "AnnounceResult" } },
        },
      },
      handle: (request) => put(parts, request),
    },
    {
      method: "DELETE",
      path: instancePath,
      access: "token",
      about: {
        summary: "Takes an instance away.",
        answers: { 200: { description: "It is gone.", content: done } },
      },
      handle: async (request) => {
        const { instances, service, address } = writeOf(parts, request);
        if (!(await instances.withdraw(service, address))) throw notAnnounced(service, address);
        return { status: 200, json: { service, address } };
      },
    },
    {
      method: "PUT",
      path: `${instancePath}/health`,
      access: "token",
      bodyBytesMax: reportBytesMax,
      about: {
        summary: "Reports how an instance does.",
        body: { "application/json": "HealthReport" },
        answers: { 200: { description: "It is kept as long as the instance.", content: done } },
      },
      handle: async (request) => {
        const { instances, service, address } = writeOf(parts, request);
        const report = fitting(healthBody, await request.json(), 422);
        if (!(await instances.reportHealth(service, address, report))) throw notAnnounced(service, address);
        return { status: 200, json: { service, address } };
      },
    },
  ];
}

async function put(parts: AdminParts, request: AdminRequest): Promise<AdminAnswer> {
  const { instances, service, address } = writeOf(parts, request);
  const announcement = announcementOf(await request.json());
  const { created, ttlSeconds } = await instances.announce(service, address, announcement);
  return { status: created ? 201 : 200, json: { ttl: formatDuration(ttlSeconds * 1_000) } };
}

function announcementOf(body: unknown): Announcement {
  const { ttl = ttlDefault, status = "UP", weight = 1, zone, version } = fitting(announceBody, body ?? {}, 422);
  const ttlMs = parseDuration(ttl);
  if (ttlMs === undefined) throw new AdminError(422, `ttl is "${ttl}": send a duration such as "10s" or "1m".`);
  if (ttlMs < ttlMsMin || ttlMs > ttlMsMax) {
    throw new AdminError(422, `ttl is "${ttl}": send ${formatDuration(ttlMsMin)} to ${formatDuration(ttlMsMax)}.`);
  }
  return {
    status,
    weight,
    ...(zone === undefined ? {} : { zone }),
    ...(version === undefined ? {} : { version }),
    // A store counts leases in whole seconds.
    ttlSeconds: Math.ceil(ttlMs / 1_000),
  };
}

interface InstanceWrite {
  readonly instances: Instances;
  readonly service: string;
  readonly address: string;
}

/** Throws an AdminError with 409 where there is no store, 422 for what can be no instance. */
function writeOf({ instances, source = "a file" }: AdminParts, { parameter }: AdminRequest): InstanceWrite {
  if (!instances.hasRegistry) {
    throw new AdminError(
      409,
      `Instances announce themselves in a store, and this gateway has none: list them in ${source}, or start it with --store.`,
    );
  }
  const service = parameter("service");
  const address = parameter("address").toLowerCase();
  if (!isServiceName(service)) {
    const remedy = "send up to 128 letters, digits, dots, dashes and underscores, a letter or digit first";
    throw new AdminError(422, `"${service}" is no name of a service: ${remedy}.`);
  }
  if (!isAddress(address)) {
    throw new AdminError(422, `"${address}" is no address: send host:port, as in 10.0.0.5:3001 or [::1]:3001.`);
  }
  return { instances, service, address };
}

function notAnnounced(service: string, address: string): AdminError {
  return new AdminError(
    404,
    `${service}/${address} is not announced: PUT /v1/instances/${service}/${address} does so.`,
  );
}
