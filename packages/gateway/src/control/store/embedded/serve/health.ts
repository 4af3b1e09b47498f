import { status, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";

/** https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
const protocol: Parameters<typeof fromJSON>[0] = {
  nested: {
    grpc: {
      nested: {
        health: {
          nested: {
            v1: {
              nested: {
                HealthCheckRequest: { fields: { service: { type: "string", id: 1 } } },
                HealthCheckResponse: {
                  fields: { status: { type: "ServingStatus", id: 1 } },
                  nested: { ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } } },
                },
                Health: {
                  methods: {
                    Check: { requestType: "HealthCheckRequest", responseType: "HealthCheckResponse", comment: "" },
                    Watch: {
                      requestType: "HealthCheckRequest",
                      responseType: "HealthCheckResponse",
                      responseStream: true,
                      comment: "",
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};

interface Question {
  readonly service: string;
}
interface Answer {
  readonly status: "SERVING" | "SERVICE_UNKNOWN";
}

/** gRPC's health service: what is asked about is served as long as the server is there. "": the server as a whole. */
export function healthService(services: readonly string[]) {
  const isServed = (service: string): boolean => service === "" || services.includes(service);
  const definition = fromJSON(protocol, { enums: String, defaults: true })["grpc.health.v1.Health"];
  if (definition === undefined || "format" in definition) throw new Error("the health service is not defined");
  return {
    definition,
    handlers: {
      Check: (call: ServerUnaryCall<Question, Answer>, callback: sendUnaryData<Answer>): void => {
        if (isServed(call.request.service)) return callback(null, { status: "SERVING" });
        callback({ code: status.NOT_FOUND, details: "unknown service" });
      },
      // Stays open: it would tell a change, and there is none before the connection goes.
      Watch: (call: ServerWritableStream<Question, Answer>): void => {
        call.on("error", () => undefined);
        call.write({ status: isServed(call.request.service) ? "SERVING" : "SERVICE_UNKNOWN" });
      },
    },
  };
}
