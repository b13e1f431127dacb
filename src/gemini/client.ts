import { headerValue } from './headers.ts';
import type { FlatHeaders } from './headers.ts';

/** Client families, a bounded set that may label a metric. */
export type ClientFamily =
  | 'genai-js'
  | 'genai-python'
  | 'genai-go'
  | 'genai-java'
  | 'gemini-cli'
  | 'generative-ai-js'
  | 'ai-sdk'
  | 'langchain'
  | 'openai-js'
  | 'openai-python'
  | 'litellm'
  | 'curl'
  | 'node'
  | 'other';

/** Who calls, as far as its headers tell, and how long it will wait. */
export interface Client {
  readonly family: ClientFamily;
  /** Longest silence before the answer's headers that the client bears, ms; null when it waits on. */
  readonly holdMsMax: number | null;
  /** What the client itself said it will wait, ms; null when it did not. */
  readonly serverTimeoutMs: number | null;
  /** 0 for a first try; only the OpenAI SDKs tell. */
  readonly retryCount: number;
}

/** gemini-cli's undici agent gives up on headers after 60 s and then sends the same prompt again. */
const GEMINI_CLI_HOLD_MS = 50_000;
/** Node's own fetch waits 300 s for headers; clients that leave it at that are cut there. */
const NODE_FETCH_HOLD_MS = 270_000;
/** The OpenAI Python SDK's read timeout is 600 s. */
const OPENAI_PYTHON_HOLD_MS = 570_000;

/** Recognises the client by user-agent and SDK headers. Unknown clients are taken to wait. */
export function detectClient(headers: FlatHeaders): Client {
  const agent = headerValue(headers, 'user-agent') ?? '';
  const sdk = headerValue(headers, 'x-goog-api-client') ?? '';
  return {
    ...recognise(agent, sdk),
    serverTimeoutMs: shortest(
      seconds(headerValue(headers, 'x-server-timeout')),
      seconds(headerValue(headers, 'x-stainless-timeout')),
    ),
    retryCount: count(headerValue(headers, 'x-stainless-retry-count')),
  };
}

/** The order matters: gemini-cli and LangChain also carry the marks of the SDK beneath them. */
function recognise(agent: string, sdk: string): Pick<Client, 'family' | 'holdMsMax'> {
  if (/^GeminiCLI\b/i.test(agent)) return { family: 'gemini-cli', holdMsMax: GEMINI_CLI_HOLD_MS };
  if (/\bai-sdk\b/i.test(agent)) return { family: 'ai-sdk', holdMsMax: NODE_FETCH_HOLD_MS };
  if (/langchain/i.test(agent) || /langchain/i.test(sdk)) {
    // The Python package sets no timeout; the JavaScript ones use Node's fetch.
    const isPython = /langchain-google-genai\//i.test(agent) || /gl-python/.test(sdk);
    return { family: 'langchain', holdMsMax: isPython ? null : NODE_FETCH_HOLD_MS };
  }
  if (/^(?:Async)?OpenAI\/Python/i.test(agent)) {
    return { family: 'openai-python', holdMsMax: OPENAI_PYTHON_HOLD_MS };
  }
  if (/^(?:Azure)?OpenAI\/JS/i.test(agent)) {
    return { family: 'openai-js', holdMsMax: NODE_FETCH_HOLD_MS };
  }
  if (/^litellm\b/i.test(agent)) return { family: 'litellm', holdMsMax: null };
  if (sdk.startsWith('genai-js/')) {
    return { family: 'generative-ai-js', holdMsMax: NODE_FETCH_HOLD_MS };
  }
  const genai = ofGenai(agent) ?? ofGenai(sdk);
  if (genai !== null) return genai;
  if (/^curl\//i.test(agent)) return { family: 'curl', holdMsMax: null };
  if (/^(?:node|undici|node-fetch\/.*)$/i.test(agent)) {
    return { family: 'node', holdMsMax: NODE_FETCH_HOLD_MS };
  }
  return { family: 'other', holdMsMax: null };
}

function ofGenai(mark: string): Pick<Client, 'family' | 'holdMsMax'> | null {
  if (mark.startsWith('speakeasy-sdk/python')) return { family: 'genai-python', holdMsMax: null };
  if (mark.startsWith('speakeasy-sdk/typescript')) return { family: 'genai-js', holdMsMax: null };
  const match = /google-genai-sdk\/(\d+)\.(\d+)\S*(?:\s+gl-([a-z]+))?/.exec(mark);
  if (match === null) return null;
  const [, major = '0', minor = '0', language = ''] = match;
  if (language === 'python') return { family: 'genai-python', holdMsMax: null };
  if (language === 'go') return { family: 'genai-go', holdMsMax: null };
  if (language === 'java') return { family: 'genai-java', holdMsMax: null };
  if (language !== 'node') return null;
  // Timeouts of Node's fetch are switched off since 2.32.
  const waits = Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 32);
  return { family: 'genai-js', holdMsMax: waits ? null : NODE_FETCH_HOLD_MS };
}

/** A positive number of seconds as ms; anything else says nothing. */
function seconds(value: string | null): number | null {
  if (value === null || !/^\s*\d+(?:\.\d+)?\s*$/.test(value)) return null;
  const ms = Math.floor(Number(value) * 1000);
  return ms > 0 && Number.isSafeInteger(ms) ? ms : null;
}

function shortest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

function count(value: string | null): number {
  return value !== null && /^\d{1,6}$/.test(value.trim()) ? Number(value) : 0;
}
