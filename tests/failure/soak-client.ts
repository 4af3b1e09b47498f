import { createHash } from "node:crypto";
import { RawClient, requestText } from "../kit/client.ts";
import type { Echo } from "../kit/echo.ts";
import { seededRandom } from "../kit/clock.ts";
import { ManualScope } from "../kit/scope.ts";

export interface ClientCounts {
  answered: number;
  aborted: number;
  excused: number;
  readonly failures: string[];
}

interface Planned {
  readonly id: string;
  readonly method: "GET" | "PUT" | "POST";
  readonly body: string | undefined;
}

function plan(id: string, random: () => number): Planned {
  const drawn = random();
  const method = drawn < 0.7 ? "GET" : drawn < 0.85 ? "PUT" : "POST";
  const body = method === "GET" ? undefined : `${id} `.repeat(1 + Math.floor(random() * 400));
  return { id, method, body };
}

/** What is wrong with the answer, or undefined. */
function fault(planned: Planned, status: number, idField: string | undefined, text: string): string | undefined {
  if (status !== 200) return `status ${status}: ${text.slice(0, 200)}`;
  const echo = JSON.parse(text) as Echo; // the kit's echo upstream
  const seenId = echo.headers.find(([name]) => name === "x-id")?.[1];
  if (idField !== planned.id || seenId !== planned.id || echo.url !== `/soak/${planned.id}`) {
    return `another request's answer: field ${String(idField)}, header seen ${String(seenId)}, path ${echo.url}`;
  }
  const sha256 = createHash("sha256")
    .update(planned.body ?? "")
    .digest("hex");
  return echo.bodySha256 === sha256 ? undefined : "another body arrived at the instance";
}

/** A POST that was on its way when the instance died may have been acted on: a 502 is the right answer. */
function isExcused(planned: Planned, status: number): boolean {
  return planned.method === "POST" && status === 502;
}

async function exchangeAll(
  client: RawClient,
  batch: readonly Planned[],
  counts: ClientCounts,
  abort: boolean,
): Promise<void> {
  for (const { id, method, body } of batch) {
    client.send(
      requestText(`/soak/${id}`, { method, headers: { "x-id": id }, ...(body === undefined ? {} : { body }) }),
    );
  }
  if (abort) {
    counts.aborted += batch.length;
    client.reset();
    return;
  }
  for (const planned of batch) {
    const response = await client.finalResponse(planned.method);
    const wrong = fault(planned, response.status, response.get("x-id"), response.text);
    if (wrong === undefined) counts.answered++;
    else if (isExcused(planned, response.status)) counts.excused++;
    else counts.failures.push(`${planned.method} ${planned.id}: ${wrong}`);
  }
}

/**
 * One client: keep-alive connections, pipelining now and then, going away now and then (`aborting`). Ids are unique
 * over all clients, so that an answer in the wrong place shows.
 */
export async function runClient(
  port: number,
  id: number,
  running: () => boolean,
  counts: ClientCounts,
  aborting: boolean,
): Promise<void> {
  const random = seededRandom(id);
  for (let number = 0; running();) {
    const scope = new ManualScope();
    let last: readonly Planned[] = [];
    try {
      const client = await RawClient.connect(scope, port);
      for (let uses = 1 + Math.floor(random() * 50); uses > 0 && running(); uses--) {
        const count = random() < 0.1 ? 4 : 1;
        last = Array.from({ length: count }, () => plan(`${id}-${number++}`, random));
        const abort = aborting && random() < 0.02;
        await exchangeAll(client, last, counts, abort);
        if (abort) break;
      }
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      counts.failures.push(`${last.map(({ method, id: which }) => `${method} ${which}`).join()}: ${detail}`);
    }
    await scope.close();
  }
}
