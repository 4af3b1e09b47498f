import { duration, ratio } from "@headgate/schema";
import { z } from "zod";
import type { Random } from "../../core/clock.ts";
import type { Exchange } from "../../proxy/exchange.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";
import { fieldNamed, jsonFields, statusOf } from "./fields.ts";
import { combinedFormat, ecsFormat, jsonFormat, type Format } from "./formats.ts";

const statusExpected = 'expected a status such as 404, "5xx" or "500-504"';
const statusPattern = /^(?:[1-5]xx|[1-5][0-9]{2}(?:-[1-5][0-9]{2})?)$/;

const statusCodes = z
  .union([z.number(), z.string()], { error: statusExpected })
  .refine((value) => statusPattern.test(String(value)), statusExpected)
  .transform((value): readonly [from: number, to: number] => {
    const text = String(value);
    if (text.endsWith("xx")) return [Number(text[0]) * 100, Number(text[0]) * 100 + 99];
    const [from = 0, to = from] = text.split("-").map(Number);
    return [from, to];
  });

const settings = z
  .strictObject({
    format: z.enum(["json", "combined", "ecs"]).optional(),
    fields: z
      .array(
        z.string().refine((name) => fieldNamed(bare(name)) !== undefined, {
          error: ({ input }) =>
            `${JSON.stringify(input)} is no field; expected header.NAME, response.NAME or one of ${[...jsonFields.keys()].join(", ")}`,
        }),
      )
      .min(1)
      .refine(
        (names) => names.every(isAddition) || !names.some(isAddition),
        'either all fields have a "+" (add) or none (select)',
      )
      .optional(),
    when: z
      .strictObject({
        status: z.array(statusCodes).optional(),
        slowerThan: duration().optional(),
        sample: ratio().optional(),
      })
      .optional(),
  })
  .refine(({ format, fields }) => format !== "combined" || fields === undefined, {
    path: ["fields"],
    message: "the combined format has fixed fields; use json",
  })
  .refine(({ format, fields }) => format !== "ecs" || fields === undefined || fields.every(isAddition), {
    path: ["fields"],
    message: 'the ecs format has fixed fields; put a "+" in front of each to add it as a label',
  });

type Settings = z.output<typeof settings>;

/**
 * Writes one line for each exchange when it is over, whatever its end. Lines are queued for a batched writer
 * (`telemetry/access-log-sink.ts`), which drops lines rather than delaying exchanges. Never ends in an error.
 */
export default defineMiddleware({
  name: "access-log",
  config: settings,
  build(config, kit) {
    const format = makeFormat(config, kit.accessLogFormat);
    if (format === undefined) return (_exchange, next) => next();
    const isWanted = makeFilter(config.when, kit.random);
    const writeLine = (exchange: Exchange): void => {
      if (isWanted(exchange)) kit.accessLog.write(format(exchange));
    };
    return function accessLog(exchange, next) {
      exchange.onFinish(writeLine);
      return next();
    };
  },
});

/** Undefined where the access log is off for the whole gateway: there is nothing to write to. */
function makeFormat(config: Settings, gatewayFormat: "json" | "combined" | "ecs" | "off"): Format | undefined {
  if (gatewayFormat === "off") return undefined;
  const format = config.format ?? gatewayFormat;
  const names = config.fields?.map(bare);
  const adds = config.fields?.every(isAddition) === true;
  switch (format) {
    case "json":
      return jsonFormat(adds ? [...new Set([...jsonFields.keys(), ...(names ?? [])])] : names);
    case "ecs":
      if (names !== undefined && !adds)
        throw new Error("the gateway's access log format is ecs, whose fields are fixed");
      return ecsFormat(names);
    case "combined":
      if (names !== undefined) throw new Error("the gateway's access log format is combined, whose fields are fixed");
      return combinedFormat;
  }
}

/** What meets `status` or `slowerThan` is always logged; of the rest the share `sample`. */
function makeFilter(when: Settings["when"], random: Random): (exchange: Exchange) => boolean {
  const { status, slowerThan, sample = status === undefined && slowerThan === undefined ? 1 : 0 } = when ?? {};
  if (sample >= 1) return () => true;
  return (exchange) => {
    const code = statusOf(exchange);
    if (status?.some(([from, to]) => code >= from && code <= to) === true) return true;
    if (slowerThan !== undefined && exchange.finishedMs - exchange.startedMs > slowerThan) return true;
    return sample > 0 && random() < sample;
  };
}

function isAddition(name: string): boolean {
  return name.startsWith("+");
}

function bare(name: string): string {
  return isAddition(name) ? name.slice(1) : name;
}
