/** `@headgate/client`: a service announces itself to the gateways, stays announced, says how it does, and leaves in order. */
export { register } from "./register.ts";
export type { Registration, RegisterOptions } from "./register.ts";
export type { EtcdTarget, GatewayTarget } from "./settings.ts";
export type { Log, LogLevel, RegistrationState } from "./session.ts";
export type { HealthReport } from "./health.ts";
export { createMeter, processMeter } from "./meter.ts";
export type { Meter } from "./meter.ts";
export { expressMeasure, fastifyMeasure, honoMeasure, koaMeasure, measure } from "./hooks.ts";
