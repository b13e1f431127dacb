/** Where the ASCII of a string is counted: nowhere, or as text, tools, calls or responses. */
export const NONE = 0;
export const TEXT = 1;
export const TOOLS = 2;
export const CALL = 3;
export const RESPONSE = 4;
/** How many there are. */
export const BUCKETS = 5;

/** What a member's name says of its value. */
export type Role =
  | 'text'
  | 'contents'
  | 'input'
  | 'items'
  | 'tools'
  | 'call'
  | 'response'
  | 'signature'
  | 'inline'
  | 'file'
  | 'data'
  | 'mime'
  | 'url'
  | 'model'
  | 'agent'
  | 'stream'
  | 'previous'
  | 'cached'
  | 'max_output'
  | 'role'
  | 'type'
  | 'resolution'
  | 'level'
  | 'clip'
  | 'clip_start'
  | 'clip_end'
  | 'fps'
  | 'none';

/** Names in the bodies of every surface, in both spellings that protobuf's JSON takes. */
export const ROLES: ReadonlyMap<string, Role> = new Map<string, Role>([
  ['text', 'text'],
  ['content', 'text'],
  ['prompt', 'text'],
  ['systemInstruction', 'text'],
  ['system_instruction', 'text'],
  ['title', 'text'],
  ['contents', 'contents'],
  ['messages', 'contents'],
  ['input', 'input'],
  ['requests', 'items'],
  ['instances', 'items'],
  ['tools', 'tools'],
  ['functions', 'tools'],
  // "The size of your response schema counts towards the input token limit" (structured output page).
  ['responseSchema', 'tools'],
  ['response_schema', 'tools'],
  ['responseJsonSchema', 'tools'],
  ['response_json_schema', 'tools'],
  ['_responseJsonSchema', 'tools'],
  ['response_format', 'tools'],
  ['functionCall', 'call'],
  ['function_call', 'call'],
  ['tool_calls', 'call'],
  ['executableCode', 'call'],
  ['executable_code', 'call'],
  ['arguments', 'call'],
  ['functionResponse', 'response'],
  ['function_response', 'response'],
  ['codeExecutionResult', 'response'],
  ['code_execution_result', 'response'],
  ['result', 'response'],
  ['thoughtSignature', 'signature'],
  ['thought_signature', 'signature'],
  ['signature', 'signature'],
  ['inlineData', 'inline'],
  ['inline_data', 'inline'],
  ['fileData', 'file'],
  ['file_data', 'file'],
  ['data', 'data'],
  ['bytesBase64Encoded', 'data'],
  ['mimeType', 'mime'],
  ['mime_type', 'mime'],
  ['format', 'mime'],
  ['url', 'url'],
  ['uri', 'url'],
  ['fileUri', 'url'],
  ['file_uri', 'url'],
  ['model', 'model'],
  ['agent', 'agent'],
  ['stream', 'stream'],
  ['previous_interaction_id', 'previous'],
  ['previousInteractionId', 'previous'],
  ['continuation_token', 'previous'],
  ['continuationToken', 'previous'],
  ['cachedContent', 'cached'],
  ['cached_content', 'cached'],
  ['maxOutputTokens', 'max_output'],
  ['max_output_tokens', 'max_output'],
  ['max_tokens', 'max_output'],
  ['max_completion_tokens', 'max_output'],
  ['role', 'role'],
  ['type', 'type'],
  ['mediaResolution', 'resolution'],
  ['media_resolution', 'resolution'],
  ['resolution', 'resolution'],
  ['level', 'level'],
  ['videoMetadata', 'clip'],
  ['video_metadata', 'clip'],
  ['startOffset', 'clip_start'],
  ['start_offset', 'clip_start'],
  ['endOffset', 'clip_end'],
  ['end_offset', 'clip_end'],
  ['fps', 'fps'],
]);

/** Strings that are kept, cut to some length, rather than counted. */
export const CAPTURED: ReadonlySet<Role> = new Set([
  'mime',
  'model',
  'agent',
  'cached',
  'previous',
  'role',
  'type',
  'resolution',
  'level',
  'clip_start',
  'clip_end',
]);

/** Strings that carry media, or say where they lie: `file_data` is a URL in OpenAI's bodies. */
export const SAMPLED: ReadonlySet<Role> = new Set(['data', 'url', 'file']);

/** Where a string of this role is counted. */
export function bucketOf(role: Role): number {
  return BUCKET_OF.get(role) ?? NONE;
}

/** Where an object or array of this role is: the members of `content: {...}` speak for themselves. */
export function containerBucketOf(role: Role): number {
  const bucket = bucketOf(role);
  return bucket === TEXT ? NONE : bucket;
}

const BUCKET_OF: ReadonlyMap<Role, number> = new Map<Role, number>([
  ['text', TEXT],
  ['input', TEXT],
  ['tools', TOOLS],
  ['call', CALL],
  ['response', RESPONSE],
]);
