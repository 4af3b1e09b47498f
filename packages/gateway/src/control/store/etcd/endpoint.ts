import { Client, credentials, type ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import { EtcdTlsCredentials, type EtcdTls } from "./tls.ts";

/** A range of large values arrives as one message; etcd itself sets no limit. Above it a call ends with `too-large`. */
const receivedBytesMax = 256 * 1024 * 1024;

const channelOptions: ChannelOptions = {
  "grpc.max_receive_message_length": receivedBytesMax,
  // gRPC's 64 KiB would make a listing of megabytes take a round trip for each.
  "grpc-node.flow_control_window": 4 * 1024 * 1024,
  // etcd closes connections that ping more often than every 5 s.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // A connection is given up by closing its channel: it must not be shared with channels that do not know.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
};

/** One address of etcd, and the connection to it while there is one. */
export class Endpoint {
  readonly url: string;
  readonly #target: string;
  readonly #credentials: ChannelCredentials;
  #client: Client | undefined;

  constructor(url: string, tls: EtcdTls | undefined) {
    const { protocol, host, hostname } = new URL(url);
    const secure = protocol === "https:";
    if (!secure && protocol !== "http:") throw new Error(`etcd's endpoint ${url} must begin with http:// or https://`);
    this.url = url;
    // URL leaves a port out that is its scheme's own.
    this.#target = /:\d+$/.test(host) ? host : `${host}:${secure ? 443 : 80}`;
    this.#credentials = secure ? new EtcdTlsCredentials(hostname, tls ?? {}) : credentials.createInsecure();
  }

  /** Connects when the first call is made. */
  client(): Client {
    this.#client ??= new Client(this.#target, this.#credentials, channelOptions);
    return this.#client;
  }

  /**
   * Gives a connection up, unless it was already replaced; the next call opens another, without the pause that gRPC
   * makes after a failure, and looking the name up again. Calls under way on it go on.
   */
  drop(client: Client | undefined = this.#client): void {
    if (client === undefined || client !== this.#client) return;
    this.#client = undefined;
    client.close();
  }
}
