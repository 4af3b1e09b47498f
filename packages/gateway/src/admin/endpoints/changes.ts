import type { ChangeOptions } from "../../control/change/change.ts";
import { applyBody, checkBody, confirmBody, fitting, readDocuments, rollbackBody } from "../bodies.ts";
import type { AdminAnswer, AdminEndpoint, AdminRequest } from "../endpoint.ts";
import { authorOf, confirmMs, flag, limitOf, messageOf, resourceFilter, waitMs } from "../parameters.ts";
import type { AdminParts, ChangeEngine } from "../parts.ts";
import { AdminError } from "../problem.ts";

/** Documents with ten thousand routes have some MiB; each is held in memory several times while it is applied. */
export const documentsBytesMax = 16 * 1024 * 1024;

const applied = { 200: { description: "What changed.", content: { "application/json": "ApplyResult" } } } as const;

/** Changes of many resources at once, and what became of changes. */
export function changeEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return [
    {
      method: "POST",
      path: "/v1/apply",
      access: "token",
      bodyBytesMax: documentsBytesMax,
      about: {
        summary: "Makes the store hold what documents say.",
        headers: ["X-Headgate-Author"],
        body: { "application/json": "ApplyRequest" },
        answers: applied,
      },
      handle: (request) => apply(parts, request),
    },
    {
      method: "POST",
      path: "/v1/check",
      access: "token",
      bodyBytesMax: documentsBytesMax,
      about: {
        summary: "What is wrong with documents; changes nothing.",
        body: { "application/json": "CheckRequest" },
        answers: { 200: { description: "The verdict.", content: { "application/json": "CheckResult" } } },
      },
      handle: (request) => check(parts, request),
    },
    {
      method: "GET",
      path: "/v1/changes",
      access: "token",
      about: {
        summary: "Who changed what, when; newest first.",
        query: ["limit", "kind", "name", "secrets"],
        answers: { 200: { description: "The changes.", content: { "application/json": "ChangeList" } } },
      },
      handle: (request) => history(parts, request),
    },
    {
      method: "POST",
      path: "/v1/rollback",
      access: "token",
      about: {
        summary: "Restores the configuration as of a revision, as a new one.",
        headers: ["X-Headgate-Author"],
        body: { "application/json": "RollbackRequest" },
        answers: applied,
      },
      handle: (request) => rollback(parts, request),
    },
    {
      method: "POST",
      path: "/v1/confirm",
      access: "token",
      about: {
        summary: "Keeps a change that would otherwise take itself back.",
        body: { "application/json": "ConfirmRequest" },
        answers: { 200: { description: "It stays.", content: { "application/json": "ConfirmResult" } } },
      },
      handle: (request) => confirm(parts, request),
    },
  ];
}

/** What changes the store. Throws an AdminError with 409 where there is none. */
export function engineOf({ changes, source = "a file" }: AdminParts): ChangeEngine {
  if (changes !== undefined) return changes;
  throw new AdminError(409, `This gateway's configuration comes from ${source}; edit it, it is watched.`);
}

async function apply(parts: AdminParts, request: AdminRequest): Promise<AdminAnswer> {
  const engine = engineOf(parts);
  const { documents: written, prune = false, confirm: time, ...rest } = fitting(applyBody, await request.json());
  const options = optionsOf(request, rest);
  const confirmation = confirmMs(time);
  if (confirmation !== undefined && options.dryRun) {
    throw new AdminError(400, "A dry run changes nothing that could be confirmed: leave out confirm or dryRun.");
  }
  const { documents, problems } = readDocuments(written);
  if (problems.length > 0)
    throw new AdminError(422, "Not all documents could be read; nothing was changed.", { problems });
  const confirming = confirmation === undefined ? {} : { confirmMs: confirmation };
  const result = await engine.apply(documents, { ...options, prune, ...confirming });
  return { status: 200, json: result };
}

async function check(parts: AdminParts, request: AdminRequest): Promise<AdminAnswer> {
  const { documents, problems: unread } = readDocuments(fitting(checkBody, await request.json()).documents);
  // What could not be read may hold what the rest refers to: judging the rest would lead astray.
  const problems = unread.length > 0 ? unread : await parts.check(documents);
  const valid = problems.every(({ severity }) => severity !== "error");
  return { status: 200, json: { valid, problems } };
}

function history(parts: AdminParts, { url }: AdminRequest): AdminAnswer {
  const options = { limit: limitOf(url), ...resourceFilter(url), secrets: flag(url, "secrets") };
  // A file has no history that the gateway knows.
  const changes = parts.changes?.history(options) ?? [];
  return { status: 200, json: { changes } };
}

async function rollback(parts: AdminParts, request: AdminRequest): Promise<AdminAnswer> {
  const engine = engineOf(parts);
  const { revision, ...rest } = fitting(rollbackBody, await request.json());
  return { status: 200, json: await engine.rollback(revision, optionsOf(request, rest)) };
}

async function confirm(parts: AdminParts, request: AdminRequest): Promise<AdminAnswer> {
  const engine = engineOf(parts);
  const { change } = fitting(confirmBody, (await request.json()) ?? {});
  return { status: 200, json: await engine.confirm(change) };
}

interface WrittenOptions {
  readonly dryRun?: boolean | undefined;
  readonly message?: string | undefined;
  readonly wait?: string | undefined;
}

function optionsOf(request: AdminRequest, { dryRun = false, message: why, wait: time }: WrittenOptions): ChangeOptions {
  const message = messageOf(why);
  const wait = waitMs(time);
  return {
    author: authorOf(request.header("x-headgate-author")),
    dryRun,
    ...(message === undefined ? {} : { message }),
    ...(wait === undefined ? {} : { waitMs: wait }),
  };
}
