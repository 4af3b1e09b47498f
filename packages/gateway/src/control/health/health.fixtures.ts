import assert from "node:assert/strict";
import { validateResource, type HealthCheckSettings, type ServiceResource } from "@headgate/schema";

/** A service as it is when it was written so. */
export function serviceOf(written: object): ServiceResource {
  const { value, problems } = validateResource("services", "users", written);
  assert.ok(value !== undefined, JSON.stringify(problems));
  return value;
}

/** What `healthCheck` says of a service. */
export function settingsOf(written: object): HealthCheckSettings {
  const { healthCheck } = serviceOf({ instances: [], healthCheck: written });
  assert.ok(healthCheck !== undefined);
  return healthCheck;
}
