import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { Test } from 'tap';
import { bodyOf, listen } from './loopback.ts';

/** A span as it came over the wire, in the JSON of OTLP, its attributes made plain. */
export interface ReceivedSpan {
  readonly name: string;
  /** SPAN_KIND_INTERNAL is 1, SERVER 2, CLIENT 3. */
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty or absent for a root. */
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code?: number };
  readonly events: readonly { readonly name: string; readonly timeUnixNano: string }[];
  readonly attributes: Readonly<Record<string, unknown>>;
}

interface Attribute {
  readonly key: string;
  readonly value: {
    readonly stringValue?: string;
    readonly intValue?: number | string;
    readonly doubleValue?: number;
    readonly boolValue?: boolean;
    readonly arrayValue?: { readonly values: readonly Attribute['value'][] };
  };
}

/** What OTLP over HTTP is, as far as the tests look. */
interface Envelope {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<ReceivedSpan, 'attributes'> & {
        readonly attributes: readonly Attribute[];
      })[];
    }[];
  }[];
}

/** An OTLP/HTTP receiver on loopback. */
export interface Collector {
  readonly url: string;
  /** In the order they came. */
  readonly spans: readonly ReceivedSpan[];
  readonly resources: readonly Readonly<Record<string, unknown>>[];
  readonly requests: readonly { readonly url: string; readonly headers: IncomingHttpHeaders }[];
  /** Everything that came, as text. */
  readonly bodies: readonly string[];
}

/** Starts one that takes everything, or, where `mute`, takes requests and never answers. */
export async function startCollector(
  t: Test,
  { mute = false }: { readonly mute?: boolean } = {},
): Promise<Collector> {
  const spans: ReceivedSpan[] = [];
  const resources: Record<string, unknown>[] = [];
  const requests: { url: string; headers: IncomingHttpHeaders }[] = [];
  const bodies: string[] = [];
  const take = (body: string) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the exporter speaks OTLP.
    const { resourceSpans } = JSON.parse(body) as Envelope;
    for (const { resource, scopeSpans } of resourceSpans) {
      resources.push(plain(resource.attributes));
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
        spans.push({ ...span, attributes: plain(span.attributes) });
      }
    }
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    requests.push({ url: request.url ?? '', headers: request.headers });
    const body = (await bodyOf(request)).toString();
    bodies.push(body);
    if (mute) return;
    take(body);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  };
  const server = createServer((request, response) => void answer(request, response));
  const port = await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${port}`, spans, resources, requests, bodies };
}

function plain(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, valueOf(value)]));
}

function valueOf(value: Attribute['value']): unknown {
  const { stringValue, intValue, doubleValue, boolValue, arrayValue } = value;
  if (arrayValue !== undefined) return arrayValue.values.map(valueOf);
  if (intValue !== undefined) return Number(intValue);
  return stringValue ?? doubleValue ?? boolValue;
}
