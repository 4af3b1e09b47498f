import type { TrafficReport } from "../control/replay.ts";
import { grouped } from "./output.ts";

/** What recent traffic would notice, in sentences, one a line. */
export function trafficText(report: TrafficReport): readonly string[] {
  const { requests, moved, notFound, found, authentication, others = {}, unseen = [] } = report;
  if (requests === 0) return ["There were no recent requests to try it on."];
  const all = requests === 1 ? "1 recent request" : `${grouped(requests)} recent requests`;
  const of = (count: number): string => `${grouped(count)} of ${all}`;
  const verb = (count: number, one: string, many: string): string => (count === 1 ? one : many);
  const example = (text: string): string => `, such as ${text}`;
  const more = (count: number | undefined, rest: string): readonly string[] => {
    return count === undefined ? [] : [`${grouped(count)} more of ${all} ${rest}.`];
  };
  const lines = [
    ...moved.map(
      (line) =>
        `${of(line.count)} ${verb(line.count, "moves", "move")} from ${line.from} to ${line.to}${example(line.example)}.`,
    ),
    ...more(others.moved, "move between other routes"),
    ...notFound.map(
      (line) =>
        `${of(line.count)} ${verb(line.count, "loses its", "lose their")} route ${line.from} and ${verb(line.count, "gets", "get")} 404${example(line.example)}.`,
    ),
    ...more(others.notFound, "lose other routes and get 404"),
    ...found.map(
      (line) =>
        `${of(line.count)} that got 404 ${verb(line.count, "goes", "go")} to ${line.to}${example(line.example)}.`,
    ),
    ...more(others.found, "that got 404 go to other routes"),
    ...authentication.lost.map(
      (line) =>
        `${of(line.count)} to ${line.route} ${verb(line.count, "is", "are")} no longer asked who sent ${verb(line.count, "it", "them")}${example(line.example)}.`,
    ),
    ...more(others.lost, "to other routes are no longer asked who sent them"),
    ...authentication.gained.map(
      (line) =>
        `${of(line.count)} to ${line.route} ${verb(line.count, "is", "are")} asked who sent ${verb(line.count, "it", "them")} and ${verb(line.count, "was", "were")} not before${example(line.example)}.`,
    ),
    ...more(others.gained, "to other routes are asked who sent them and were not before"),
  ];
  if (lines.length === 0)
    lines.push(
      requests === 1
        ? "The 1 recent request goes where it went."
        : `All ${grouped(requests)} recent requests go where they went.`,
    );
  if (unseen.length > 0) {
    lines.push(
      `The change looks at ${unseen.join(", ")}, which nobody looked at so far: the requests were tried as if they had none.`,
    );
  }
  return lines;
}
