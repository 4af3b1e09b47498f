import { isDeepStrictEqual } from "node:util";
import { formatPath } from "@headgate/schema";
import { redacted } from "../../core/secrets.ts";
import { redactSettings } from "../redact.ts";
import type { FieldDifference, RecordedWrite, ResourceDifference } from "./change.ts";

/** So many fields of one resource are told one by one; of what differs in more, the whole is. */
const fieldsMax = 200;

type Place = readonly (string | number)[];

/** What a change does to each resource, field by field; `shown` is what is told of a write: no secrets. Pure. */
export function differenceOf(writes: readonly RecordedWrite[], shown = withoutSecrets): ResourceDifference[] {
  return writes.map((write) => {
    const { kind, name, action } = write;
    return { kind, name, action, changes: fieldsOf(write, shown(write)) };
  });
}

/** A recorded write for people to read. */
export function withoutSecrets(write: RecordedWrite): RecordedWrite {
  return {
    ...write,
    ...("before" in write ? { before: redactSettings(write.before) } : {}),
    ...("after" in write ? { after: redactSettings(write.after) } : {}),
  };
}

function fieldsOf({ before, after, action }: RecordedWrite, shown: RecordedWrite): FieldDifference[] {
  const whole: FieldDifference = {
    path: "",
    ...(action === "create" ? {} : { before: shown.before }),
    ...(action === "delete" ? {} : { after: shown.after }),
  };
  if (action !== "update") return [whole];
  const places: Place[] = [];
  compare(before, after, [], places);
  if (places.length > fieldsMax) return [whole];
  return places.map((place) => ({
    path: formatPath(place),
    ...field("before", valueAt(shown.before, place)),
    ...field("after", valueAt(shown.after, place)),
  }));
}

function compare(before: unknown, after: unknown, place: Place, places: Place[]): void {
  if (isDeepStrictEqual(before, after)) return;
  if (isMap(before) && isMap(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      compare(before[key], after[key], [...place, key], places);
    }
    return;
  }
  // Of lists that grew or shrank, positions say little: what was inserted at the front would seem to change all.
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const index of before.keys()) compare(before[index], after[index], [...place, index], places);
    return;
  }
  places.push(place);
}

const absent = Symbol();

/** What stands at a place of a value that may have been redacted on the way there. */
function valueAt(value: unknown, place: Place): unknown {
  let at = value;
  for (const step of place) {
    if (at === redacted) return redacted;
    if (typeof step === "number" && Array.isArray(at)) at = at[step];
    else if (isMap(at) && Object.hasOwn(at, step)) at = at[step];
    else return absent;
  }
  return at;
}

function field<N extends "before" | "after">(name: N, value: unknown): { [K in N]?: unknown } {
  // A computed key widens to an index signature, which the mapped type is not.
  return value === absent ? {} : ({ [name]: value } as { [K in N]?: unknown });
}

function isMap(value: unknown): value is Record<string | number, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
