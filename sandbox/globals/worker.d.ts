/** What workers in the shape of Cloudflare's Email Workers name in their types, as far as it is there (docs/email-workers.md). Types only. */

/** Made by the class of that name in "cloudflare:email". */
interface EmailMessage {
  readonly from: string;
  readonly to: string;
}

interface ForwardableEmailMessage {
  /** "" for the null reverse-path. */
  readonly from: string;
  /** The one recipient this call is about. */
  readonly to: string;
  /** Unfolded, not decoded; read only. */
  readonly headers: Headers;
  readonly raw: ReadableStream<Uint8Array>;
  readonly rawSize: number;
  readonly canBeForwarded: boolean;
  setReject(reason: string): void;
  forward(recipient: string, headers?: Headers): Promise<void>;
  reply(message: EmailMessage): Promise<void>;
}

interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void;
  passThroughOnException(): void;
}

interface SendEmail {
  send(message: EmailMessage): Promise<void>;
}

type KVKind = "text" | "json" | "arrayBuffer" | "stream";
type KVOptions<Kind extends KVKind> = Kind | { readonly type: Kind };

interface KVNamespace {
  get(key: string, options?: KVOptions<"text">): Promise<string | null>;
  get<Value = unknown>(key: string, options: KVOptions<"json">): Promise<Value | null>;
  get(key: string, options: KVOptions<"arrayBuffer">): Promise<ArrayBuffer | null>;
  get(key: string, options: KVOptions<"stream">): Promise<ReadableStream<Uint8Array> | null>;
  getWithMetadata<Metadata = unknown>(
    key: string,
    options?: KVOptions<KVKind>,
  ): Promise<{ readonly value: unknown; readonly metadata: Metadata | null }>;
  put(
    key: string,
    value: string | ArrayBuffer | ArrayBufferView,
    options?: {
      /** Seconds, 60 at least. */
      readonly expirationTtl?: number;
      /** Seconds since the Unix epoch. */
      readonly expiration?: number;
      readonly metadata?: unknown;
    },
  ): Promise<void>;
  delete(key: string): Promise<void>;
  list(options?: { readonly prefix?: string; readonly limit?: number; readonly cursor?: string }): Promise<{
    readonly keys: readonly { readonly name: string }[];
    readonly list_complete: boolean;
    readonly cursor?: string;
  }>;
}
