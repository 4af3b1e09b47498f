import type { GatewaySettings, Resources } from "@headgate/schema";
import type { Changes } from "../control/change/changes.ts";
import type { ResourceView } from "../control/catalog/view.ts";
import type { Circuits } from "../control/health/circuits.ts";
import type { HealthOverview } from "../control/health/overview.ts";
import type { Instances } from "../control/registry/instances.ts";
import type { SourceStatus } from "../control/registry/sources.ts";
import type { EventBus } from "../control/events.ts";
import type { QueueView } from "../control/queue/view.ts";
import type { Report, ReportedProblem } from "../control/report.ts";
import type { StoreStatus } from "../control/store-status.ts";
import type { BoundAddress, WorkerStatus } from "../control/worker-messages.ts";
import type { Timers } from "../core/timers.ts";
import type { MetricsPage } from "../telemetry/metrics-page.ts";

/** What changes the store. Rejects with a ChangeError or a StoreError. */
export type ChangeEngine = Pick<Changes, "apply" | "put" | "delete" | "history" | "rollback" | "confirm">;

/** What the endpoints show; read anew for each request. */
export interface AdminParts {
  readonly version: string;
  /** Of Node.js. */
  readonly node: string;
  readonly pid: number;
  /** The document that is served, or that adds to the store; `undefined`: none. */
  readonly source: string | undefined;
  readonly settings: GatewaySettings;
  readonly report: Report;
  readonly page: MetricsPage;
  /** What is live; `undefined` before the first publication. */
  readonly resources: () => Resources | undefined;
  readonly workers: () => readonly WorkerStatus[];
  readonly addresses: () => readonly BoundAddress[];
  readonly adminAddress: () => string;
  /** Which route takes a request and why. Throws an AdminError with 400 where the request makes no sense. */
  readonly explain: (request: unknown, resources: Resources) => Promise<unknown>;
  /** Resolves when other work had its turn. */
  readonly breathe: () => Promise<void>;
  readonly timers: Timers;
  readonly view: Pick<ResourceView, "items" | "item">;
  /** `undefined`: the configuration comes from a file alone. */
  readonly changes: ChangeEngine | undefined;
  /** What is wrong with documents; changes nothing. */
  readonly check: (documents: readonly unknown[]) => Promise<readonly ReportedProblem[]>;
  readonly instances: Instances;
  readonly circuits: Pick<Circuits, "list" | "order">;
  /** How all instances are, in short. */
  readonly health: () => HealthOverview;
  /** The sources of instances beside the store. */
  readonly discovery: () => readonly SourceStatus[];
  /** Rejects with a QueueError. */
  readonly queue: Pick<QueueView, "list" | "get" | "replay" | "purge">;
  readonly events: EventBus;
  /** `undefined`: there is no store. */
  readonly store: () => StoreStatus | undefined;
}
