import { RegistryError } from "./registry.ts";

export interface Question {
  readonly method: "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The answer is a stream that may stay open: its first line is all that is read. */
  readonly firstLine?: boolean;
}

export interface Answer {
  /** Which endpoint answered, for messages. */
  readonly endpoint: string;
  readonly status: number;
  readonly text: string;
}

/** Sends to one endpoint after another until one answers with a status below 500, each once. */
export type Send = (question: Question) => Promise<Answer>;

export interface SendOptions {
  /** What the endpoints are, for messages: `etcd`, `the gateway`. */
  readonly name: string;
  readonly endpoints: readonly string[];
  readonly requestTimeoutMs: number;
}

/** A longer answer is cut and then fails to parse: registries answer with a few hundred bytes. */
const answerCharactersMax = 64 * 1024;

/**
 * Begins where the last answer came from. Ends in a RegistryError `unreachable` that names the last endpoint's reason.
 */
export function sendInTurn({ name, endpoints, requestTimeoutMs }: SendOptions): Send {
  let first = 0;
  return async (question) => {
    let reason = "no endpoint is configured";
    let cause: unknown;
    for (let tried = 0; tried < endpoints.length; tried++) {
      const at = (first + tried) % endpoints.length;
      const endpoint = endpoints[at] ?? "";
      try {
        const answer = await ask(endpoint, question, requestTimeoutMs);
        if (answer.status < 500) {
          first = at;
          return answer;
        }
        reason = `${name} at ${endpoint} answers with status ${answer.status}: ${summaryOf(answer.text)}`;
      } catch (error) {
        cause = error;
        reason = `${name} at ${endpoint} does not answer (${reasonOf(error, requestTimeoutMs)})`;
      }
    }
    throw new RegistryError("unreachable", reason, { cause });
  };
}

/** The message of a JSON answer, etcd's or a problem document's, or the beginning of another. */
export function summaryOf(text: string): string {
  const { message, error, detail, title } = objectOf(text);
  const said = [message, error, detail, title].find((part) => typeof part === "string" && part !== "");
  return typeof said === "string" ? said : text.trim().slice(0, 200) || "an empty answer";
}

/** A JSON object, or an empty one where the text is none. */
export function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : {};
  } catch {
    return {};
  }
}

async function ask(endpoint: string, question: Question, timeoutMs: number): Promise<Answer> {
  const { method, path, headers, body, firstLine = false } = question;
  const response = await fetch(endpoint + path, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    body: body ?? null,
    // A redirect would carry the credentials to wherever the answer points.
    redirect: "error",
    // Covers the body too: a registry that hangs in the middle of its answer is as good as none.
    signal: AbortSignal.timeout(timeoutMs),
  });
  return { endpoint, status: response.status, text: await read(response, firstLine) };
}

async function read(response: Response, firstLine: boolean): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true });
    const lineEnd = text.indexOf("\n");
    // Leaving the loop cancels the body.
    if (firstLine && lineEnd >= 0) return text.slice(0, lineEnd);
    if (text.length > answerCharactersMax) return text.slice(0, answerCharactersMax);
  }
  return text;
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `nothing within ${Math.round(timeoutMs)} ms`;
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.message;
}
