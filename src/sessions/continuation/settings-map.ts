import { asObject } from '../../gemini/json-value.ts';

/** Where a setting goes in a generateContent body. */
type Place = 'generationConfig' | 'thinkingConfig' | 'body' | 'special';
type Kind =
  | 'text'
  | 'number'
  | 'whole'
  | 'count'
  | 'flag'
  | 'texts'
  | 'object'
  | 'objects'
  | 'system';

interface Setting {
  readonly place: Place;
  /** The API's name; empty where the value is put together from more than it. */
  readonly name: string;
  readonly kind: Kind;
}

/** What one source says, by MassGen's key. */
export interface Settings {
  /** Checked; null takes a setting of a weaker source back. */
  readonly values: ReadonlyMap<string, unknown>;
  /** Of wrong type, unknown to the API, or given twice. */
  readonly unusable: readonly UnusableSetting[];
  /** Keys that mean something to MassGen and nothing to the API. */
  readonly notCarried: readonly string[];
  /** One sentence for each key that is left out for a reason of its own. */
  readonly remarks: readonly string[];
}

export interface UnusableSetting {
  readonly key: string;
  /** Without secrets. */
  readonly value: unknown;
  /** Completes the sentence "temperature: hot (config) ...". */
  readonly why: string;
}

function generation(name: string, kind: Kind): Setting {
  return { place: 'generationConfig', name, kind };
}

/**
 * Settings that generateContent takes, by MassGen's key (https://ai.google.dev/api/generate-content).
 * The API's own spelling is the same in camelCase; ALIASES has the exceptions.
 */
const SETTINGS: Readonly<Record<string, Setting>> = {
  agent: { place: 'special', name: '', kind: 'text' },
  model: { place: 'special', name: '', kind: 'text' },
  system_message: { place: 'special', name: '', kind: 'system' },
  enable_web_search: { place: 'special', name: '', kind: 'flag' },
  enable_code_execution: { place: 'special', name: '', kind: 'flag' },
  tools: { place: 'special', name: '', kind: 'objects' },
  tool_config: { place: 'body', name: 'toolConfig', kind: 'object' },
  safety_settings: { place: 'body', name: 'safetySettings', kind: 'objects' },
  service_tier: { place: 'body', name: 'serviceTier', kind: 'text' },
  max_tokens: generation('maxOutputTokens', 'count'),
  temperature: generation('temperature', 'number'),
  top_p: generation('topP', 'number'),
  top_k: generation('topK', 'whole'),
  candidate_count: generation('candidateCount', 'count'),
  stop_sequences: generation('stopSequences', 'texts'),
  seed: generation('seed', 'whole'),
  presence_penalty: generation('presencePenalty', 'number'),
  frequency_penalty: generation('frequencyPenalty', 'number'),
  response_mime_type: generation('responseMimeType', 'text'),
  response_schema: generation('responseSchema', 'object'),
  response_json_schema: generation('responseJsonSchema', 'object'),
  response_modalities: generation('responseModalities', 'texts'),
  response_logprobs: generation('responseLogprobs', 'flag'),
  logprobs: generation('logprobs', 'count'),
  media_resolution: generation('mediaResolution', 'text'),
  speech_config: generation('speechConfig', 'object'),
  image_config: generation('imageConfig', 'object'),
  enable_enhanced_civic_answers: generation('enableEnhancedCivicAnswers', 'flag'),
  thinking_budget: { place: 'thinkingConfig', name: 'thinkingBudget', kind: 'whole' },
  thinking_level: { place: 'thinkingConfig', name: 'thinkingLevel', kind: 'text' },
  include_thoughts: { place: 'thinkingConfig', name: 'includeThoughts', kind: 'flag' },
};

const ALIASES: Readonly<Record<string, string>> = {
  max_output_tokens: 'max_tokens',
  system_instruction: 'system_message',
  system_prompt: 'system_message',
  append_system_prompt: 'system_message',
};

/** Mappings whose keys are settings themselves. */
const NESTED: ReadonlySet<string> = new Set(['generation_config', 'thinking_config', 'backend']);

/** backend, generation_config, thinking_config; a mapping that holds itself ends here. */
const DEPTH_MAX = 3;

/** How MassGen names and counts things: nothing that a continuation would miss. */
const UNHEARD: ReadonlySet<string> = new Set([
  'type',
  'id',
  'agent_id',
  'session_id',
  'instance_id',
  'enable_rate_limit',
  'agent_temporary_workspace',
  'agent_temporary_workspace_parent',
  'context_write_access_enabled',
  'enforce_read_before_delete',
  'use_multi_mcp',
  'mcp_sdk_auto',
]);

/** What the agent could do in MassGen and cannot do here. */
const NOT_CARRIED =
  /^(cwd|mcp_servers|context_paths|custom_tools|allowed_tools|exclude_tools|upload_files|orchestrator|enable_(image|audio|video|file)_generation|enable_mcp_command_line|command_line_.*)$/;

const REMARKS: Readonly<Record<string, string>> = {
  cached_content: 'a cache holds an earlier prompt and expires, so the whole history is sent',
  http_options: 'headgate sends the call itself',
  base_url: 'headgate sends the call itself',
  api_key: 'the call has the key of its caller, or upstream.api_key',
};

const SECRET = /key|token|secret|passw|credential|authorization|cookie/i;
/** Keys of Google and of other providers, under whatever name. */
const KEY_SHAPES = /AIza[\w-]{20}|\bsk-[\w-]{16}|\bBearer /;
/** A value that a conflict shows. */
const SHOWN_CHARS_MAX = 1_000;

/** Reads what one source says, in MassGen's or the API's spelling. Never throws. */
export function readSettings(raw: Readonly<Record<string, unknown>>): Settings {
  const values = new Map<string, unknown>();
  const unusable: UnusableSetting[] = [];
  const notCarried: string[] = [];
  const remarks: string[] = [];
  const read = (entries: Readonly<Record<string, unknown>>, depth: number): void => {
    for (const [written, value] of Object.entries(entries)) {
      const key = keyOf(written);
      if (depth < DEPTH_MAX && NESTED.has(key) && (value === null || asObject(value) !== null)) {
        read(asObject(value) ?? emptied(key), depth + 1);
      } else if (key.startsWith('_') || UNHEARD.has(key) || value === undefined) continue;
      else if (NOT_CARRIED.test(key)) {
        if (!isEmpty(value)) notCarried.push(key);
      } else if (Object.hasOwn(REMARKS, key)) {
        if (value !== null) remarks.push(`${key} is not used: ${REMARKS[key]}`);
      } else take(key, written, value);
    }
  };
  const take = (key: string, written: string, given: unknown): void => {
    const setting = settingOf(key);
    const value = key === 'model' && typeof given === 'string' ? bareModel(given) : given;
    const why =
      setting === null
        ? 'is not known to the API'
        : value === null
          ? null
          : (mistake(setting.kind, value) ?? mistakeOf(key, value));
    if (why !== null) {
      unusable.push({
        key: setting === null ? written : key,
        value: withoutSecrets(written, value),
        why,
      });
    } else if (!values.has(key)) values.set(key, key === 'system_message' ? plain(value) : value);
    else if (JSON.stringify(values.get(key)) !== JSON.stringify(value)) {
      unusable.push({ key, value, why: 'is said a second time, and differently' });
    }
  };
  read(raw, 0);
  return { values, unusable, notCarried, remarks };
}

/** Where a setting goes; null for a key that is none. */
export function settingOf(key: string): Setting | null {
  return Object.hasOwn(SETTINGS, key) ? (SETTINGS[key] ?? null) : null;
}

function keyOf(written: string): string {
  const snake = written.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
  return Object.hasOwn(ALIASES, snake) ? (ALIASES[snake] ?? snake) : snake;
}

/** `thinking_config: null` takes all of it back; the other mappings have no meaning of their own. */
function emptied(key: string): Readonly<Record<string, unknown>> {
  if (key !== 'thinking_config') return {};
  return { thinking_budget: null, thinking_level: null, include_thoughts: null };
}

function bareModel(model: string): string {
  return model.trim().replace(/^models\//, '');
}

function mistake(kind: Kind, value: unknown): string | null {
  switch (kind) {
    case 'text':
      return typeof value === 'string' && value.trim() !== '' ? null : 'is not a text';
    case 'number':
      return Number.isFinite(value) ? null : 'is not a number';
    case 'whole':
      return Number.isSafeInteger(value) ? null : 'is not a whole number';
    case 'count':
      return Number.isSafeInteger(value) && Number(value) >= 1
        ? null
        : 'is not a whole number above 0';
    case 'flag':
      return typeof value === 'boolean' ? null : 'is neither true nor false';
    case 'texts':
      return Array.isArray(value) && value.every((item) => typeof item === 'string')
        ? null
        : 'is not a list of texts';
    case 'object':
      return asObject(value) !== null && isJson(value) ? null : 'is not a mapping';
    case 'objects':
      return Array.isArray(value) && value.every((item) => asObject(item) !== null) && isJson(value)
        ? null
        : 'is not a list of mappings';
    case 'system':
      return typeof value === 'string' || isContent(value) ? null : 'is neither text nor a content';
  }
}

function mistakeOf(key: string, value: unknown): string | null {
  // It becomes a segment of a URL.
  if (key === 'model' && !/^[A-Za-z0-9][\w.-]{0,199}$/.test(String(value))) {
    return 'is not the name of a model';
  }
  // A turn has one answer.
  return key === 'candidate_count' && value !== 1 ? 'must be 1, since a turn has one answer' : null;
}

function isContent(value: unknown): boolean {
  const parts = asObject(value)?.['parts'];
  return Array.isArray(parts) && parts.length > 0 && isJson(value);
}

/** A system instruction of texts alone is a text, so that both spellings compare as equal. */
function plain(value: unknown): unknown {
  const parts = asObject(value)?.['parts'];
  if (!Array.isArray(parts)) return value;
  const texts = parts.map((part) => asObject(part)?.['text']);
  return texts.every((text) => typeof text === 'string') ? texts.join('\n') : value;
}

/** YAML can tie a mapping into a knot with itself. */
function isJson(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

function isEmpty(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === null || value === false || value === '';
}

function withoutSecrets(key: string, value: unknown): unknown {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value;
  try {
    const text = JSON.stringify({ [key]: value }, (name, member: unknown) =>
      (SECRET.test(name) && member !== null && typeof member !== 'number') ||
      (typeof member === 'string' && KEY_SHAPES.test(member))
        ? '[redacted]'
        : member,
    );
    if (text.length > SHOWN_CHARS_MAX) return '[too long to show]';
    return asObject(JSON.parse(text))?.[key];
  } catch {
    return '[cannot be shown]';
  }
}
