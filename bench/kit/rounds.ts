import { median, pairedRatio } from "./statistics.ts";
import { runWrk } from "./wrk.ts";
import type { Bench } from "./bench.ts";
import type { Running } from "./process.ts";
import type { Cell } from "./results.ts";
import type { Load, LoadResult } from "./wrk.ts";

/** A process and the load it gets. */
export interface Contender {
  readonly name: string;
  readonly running: Running;
  readonly load: Omit<Load, "seconds">;
}

export interface Round extends LoadResult {
  /** CPU time of the process in this round, user and system, divided by the requests it answered. */
  readonly cpuUs: number;
}

export interface Measured {
  readonly name: string;
  readonly rounds: readonly Round[];
  readonly residentBytes: number;
}

const warmUpSecondsMin = 3;
/** With thousands of routes each of them has to be asked often enough to have its series and its place in old memory. */
const warmUpSecondsManyRoutes = 12;
const warmUpRequestsPerSecond = 5_000;

/**
 * Loads every contender in turn, round after round, so that what else happens on the machine hits all alike. The order
 * turns around every round: nobody always runs behind the same neighbour. An unmeasured load comes first: it fills pools
 * and gives the compiler of those written in JavaScript the time it has in any longer life.
 */
export async function measureRounds(bench: Bench, contenders: readonly Contender[]): Promise<Measured[]> {
  const seconds = bench.secondsPerRound;
  const rounds = new Map(contenders.map((contender) => [contender, [] as Round[]]));
  for (const { running, load } of contenders) {
    const { routes = 0 } = load;
    const many = Math.max(warmUpSecondsManyRoutes, Math.ceil((routes * 2) / warmUpRequestsPerSecond));
    const least = routes > 1000 ? many : warmUpSecondsMin;
    await runWrk(running.port, { ...load, seconds: bench.quick ? seconds : Math.max(seconds, least) });
  }
  for (let round = 0; round < bench.rounds; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const before = contender.running.cpuUs();
      const result = await runWrk(contender.running.port, { ...contender.load, seconds });
      const cpuUs = (contender.running.cpuUs() - before) / result.requests;
      rounds.get(contender)?.push({ ...result, cpuUs });
    }
  }
  return contenders.map((contender) => ({
    name: contender.name,
    rounds: rounds.get(contender) ?? [],
    residentBytes: contender.running.residentBytes(),
  }));
}

/** CPU per request of `name` divided by that of `base`, paired by round; NaN if one of them did not run. */
export function cpuRatio(measured: readonly Measured[], name: string, base: string): number {
  const cpu = (wanted: string): number[] | undefined =>
    measured.find((each) => each.name === wanted)?.rounds.map((round) => round.cpuUs);
  return pairedRatio(cpu(name) ?? [], cpu(base) ?? []);
}

/** The table of a load scenario. Ratios refer to the first row. */
export function loadTable(measured: readonly Measured[]): { columns: string[]; rows: Cell[][] } {
  const [first] = measured;
  const base = first?.name ?? "";
  const columns = [
    "",
    "CPU µs/request, best",
    "median",
    `× ${base}`,
    "requests/s",
    "p50 ms",
    "p99 ms",
    "MB resident",
    "failed",
  ];
  const rows = measured.map((each): Cell[] => {
    const of = (pick: (round: Round) => number): number[] => each.rounds.map(pick);
    return [
      each.name,
      Math.min(...of((round) => round.cpuUs)),
      median(of((round) => round.cpuUs)),
      cpuRatio(measured, each.name, base),
      Math.round(Math.max(...of((round) => round.requests / round.seconds))),
      median(of((round) => round.p50Us)) / 1000,
      median(of((round) => round.p99Us)) / 1000,
      Math.round(each.residentBytes / 1e6),
      of((round) => round.failedStatus + round.socketErrors).reduce((sum, count) => sum + count, 0),
    ];
  });
  return { columns, rows };
}
