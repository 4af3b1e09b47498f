import { isIP, type Socket } from "node:net";
import { checkServerIdentity, connect, createSecureContext, type SecureContext } from "node:tls";
import { CallCredentials, ChannelCredentials, type experimental } from "@grpc/grpc-js";

/** Certificates as PEM texts. */
export interface EtcdTls {
  /** Who may sign etcd's certificate. Default: Node's authorities. */
  readonly ca?: string;
  /** What is shown to an etcd that asks for a certificate. */
  readonly cert?: string;
  readonly key?: string;
  /** The name etcd's certificate must have, if not the endpoint's host. */
  readonly serverName?: string;
}

/**
 * TLS to an endpoint. With gRPC's own credentials an etcd that refuses the client's certificate after the handshake
 * (TLS 1.3) costs a descriptor a try, until the process has no more: Node hands that error to nobody who would close the
 * socket once HTTP/2 reads from it. They also send an address as the server's name, for which Node prints a warning.
 * Throws when a certificate or key is no such.
 */
export class EtcdTlsCredentials extends ChannelCredentials {
  readonly #name: string;
  readonly #context: SecureContext;

  constructor(host: string, { ca, cert, key, serverName }: EtcdTls) {
    super();
    this.#name = serverName ?? host.replace(/^\[|\]$/g, "");
    this.#context = createSecureContext({
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  override _createSecureConnector(): experimental.SecureConnector {
    return {
      connect: (socket) => this.#connect(socket),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => undefined,
    };
  }

  #connect(socket: Socket): Promise<experimental.SecureConnectResult> {
    return new Promise((resolve, reject) => {
      const name = this.#name;
      const secure = connect(
        {
          socket,
          secureContext: this.#context,
          ALPNProtocols: ["h2"],
          // RFC 6066, section 3: addresses are no server names; the certificate is held against them all the same.
          ...(isIP(name) === 0 && { servername: name }),
          checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
        },
        () => resolve({ socket: secure, secure: true }),
      );
      secure.on("error", (error) => {
        reject(error);
        secure.destroy();
      });
      secure.once("close", () => reject(new Error("the connection was closed during the TLS handshake")));
    });
  }
}
