/** A server-sent event. */
export interface ServerEvent {
  /** `message` where the stream names none. */
  readonly type: string;
  readonly data: string;
}

/** UTF-16 units of one event; what is longer is no event of a gateway. */
const eventLengthMax = 16 * 1024 * 1024;

/** Server-sent events of pieces of text (HTML Living Standard §9.2.6). */
export class EventParser {
  /** Of the last event; sent when the stream is asked for again. */
  lastId: string | undefined;
  /** How long the stream asks to wait before that. */
  retryMs: number | undefined;
  #rest = "";
  #type = "";
  #data: string[] = [];
  #dataLength = 0;

  /** The events that are complete now. Throws where one never ends. */
  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") this.#dispatch(events);
      else this.#field(line);
    }
    if (this.#rest.length + this.#dataLength > eventLengthMax) throw new Error("an event of the stream does not end");
    return events;
  }

  /** The connection was cut: what was begun is lost. */
  reset(): void {
    this.#rest = "";
    this.#clear();
  }

  #field(line: string): void {
    // A line that begins with a colon is a comment.
    const [, name = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.lastId = value;
    else if (name === "retry" && /^\d{1,8}$/.test(value)) this.retryMs = Number(value);
    else if (name === "data") {
      this.#data.push(value);
      this.#dataLength += value.length;
    }
  }

  #dispatch(events: ServerEvent[]): void {
    if (this.#data.length > 0) events.push({ type: this.#type || "message", data: this.#data.join("\n") });
    this.#clear();
  }

  #clear(): void {
    this.#type = "";
    this.#data = [];
    this.#dataLength = 0;
  }
}
