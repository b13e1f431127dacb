/** What a setting is made for. */
export interface SettingTarget {
  /** Base URL of headgate without a trailing slash. */
  readonly url: string;
  /** The agent that was named; null leaves telling agents apart to headgate. */
  readonly agent: string | null;
  /**
   * Whether headgate asks for its token, which clients then send as their API key. Else they send a
   * key of their own, or the one that stands for the configured key.
   */
  readonly needsToken: boolean;
}

/** How one client is pointed at headgate. */
export interface ClientSetting {
  /** What the client is, in a few words. */
  readonly title: string;
  /** How it tells its agent's name: in the address, or in `lines` where it can set a header. */
  readonly agentIn: 'address' | 'header';
  /** Environment variables with the address; empty for clients that have it in code alone. */
  readonly variables: (url: string) => Readonly<Record<string, string>>;
  /** Environment variable with the API key, without which the client does not start; null for `lines`. */
  readonly keyVariable: string | null;
  /** What goes into code, a file or a terminal, line by line; beside the variables where there are any. */
  readonly lines: (target: SettingTarget) => readonly string[];
  /** What `lines` are. */
  readonly language: 'sh' | 'typescript' | 'python' | 'yaml';
  /** Whole sentences for people. */
  readonly notes: readonly string[];
}

/** The key that stands for the configured one. Without any key most SDKs refuse to start. */
export const KEY_OF_HEADGATE = 'headgate';
/** Where a shell has the key that a client sends; a value of its own is left as it is. */
const OWN_KEY_VARIABLE = 'GEMINI_API_KEY';
const TOKEN_VARIABLE = 'HEADGATE_TOKEN';

const NO_LINES = () => [];
const NO_VARIABLES = () => ({});
/** Google's SDKs read it where no base URL is given in code; all of them keep a path in it. */
const googleVariable = (url: string) => ({ GOOGLE_GEMINI_BASE_URL: url });

/** The clients that `headgate env` knows, by name, in the order in which it lists them. */
export const CLIENT_SETTINGS: ReadonlyMap<string, ClientSetting> = new Map<string, ClientSetting>([
  [
    'massgen',
    {
      title: 'MassGen',
      agentIn: 'header',
      variables: googleVariable,
      keyVariable: OWN_KEY_VARIABLE,
      language: 'yaml',
      lines: ({ agent }) => [
        'agents:',
        `  - id: ${text(agent ?? 'agent_a')}`,
        '    backend:',
        '      type: gemini',
        '      http_options:',
        `        headers: { x-headgate-agent: ${text(agent ?? 'agent_a')} }`,
      ],
      notes: [
        "Leave MassGen's own --rate-limit off: headgate keeps the limits, for all processes together.",
        'Its configuration may name each agent, as above. Without that, or where MassGen does not pass the header on, headgate tells the agents apart by their calls.',
      ],
    },
  ],
  [
    'gemini-cli',
    {
      title: 'Gemini CLI, with an API key',
      agentIn: 'address',
      variables: googleVariable,
      keyVariable: OWN_KEY_VARIABLE,
      language: 'sh',
      lines: NO_LINES,
      notes: ['"Login with Google" goes to another service, and never through headgate.'],
    },
  ],
  [
    'genai-js',
    {
      title: '@google/genai',
      agentIn: 'address',
      variables: googleVariable,
      keyVariable: OWN_KEY_VARIABLE,
      language: 'typescript',
      lines: (target) => [
        'const ai = new GoogleGenAI({',
        `  apiKey: ${keyInTypeScript(target)},`,
        `  httpOptions: { baseUrl: ${text(addressOf(target))} },`,
        '});',
      ],
      notes: ['The variables are enough where the code gives no baseUrl.'],
    },
  ],
  [
    'genai-python',
    {
      title: 'google-genai for Python',
      agentIn: 'address',
      variables: googleVariable,
      keyVariable: OWN_KEY_VARIABLE,
      language: 'python',
      lines: (target) => [
        'client = genai.Client(',
        `    api_key=${keyInPython(target)},`,
        `    http_options={"base_url": ${text(addressOf(target))}},`,
        ')',
      ],
      notes: [
        'The variables are enough where the code gives no base_url.',
        'Live sessions of this SDK need wss, so `tls` in the configuration of headgate.',
      ],
    },
  ],
  [
    'ai-sdk',
    {
      title: '@ai-sdk/google',
      agentIn: 'address',
      variables: NO_VARIABLES,
      keyVariable: null,
      language: 'typescript',
      lines: (target) => [
        'const google = createGoogleGenerativeAI({',
        `  apiKey: ${keyInTypeScript(target)},`,
        `  baseURL: ${text(`${addressOf(target)}/v1beta`)},`,
        '});',
      ],
      notes: ['It reads no base URL from the environment.'],
    },
  ],
  [
    'langchain',
    {
      title: 'LangChain: JavaScript, and Python as a comment',
      agentIn: 'address',
      variables: NO_VARIABLES,
      keyVariable: null,
      language: 'typescript',
      lines: (target) => [
        'const model = new ChatGoogleGenerativeAI({',
        '  model: "gemini-2.5-flash",',
        `  apiKey: ${keyInTypeScript(target)},`,
        `  baseUrl: ${text(addressOf(target))},`,
        '});',
        '// model = ChatGoogleGenerativeAI(',
        '//     model="gemini-2.5-flash",',
        `//     api_key=${keyInPython(target)},`,
        `//     base_url=${text(addressOf(target))},`,
        '// )',
      ],
      notes: ['ChatGoogle of @langchain/google takes the same address as `endpoint`.'],
    },
  ],
  [
    'openai',
    {
      title: "OpenAI's SDKs, for JavaScript and Python",
      agentIn: 'address',
      variables: (url) => ({ OPENAI_BASE_URL: `${url}/v1beta/openai/` }),
      keyVariable: 'OPENAI_API_KEY',
      language: 'sh',
      lines: NO_LINES,
      notes: [
        'OPENAI_API_KEY takes a Gemini key here, so that no key of OpenAI is sent to another service.',
      ],
    },
  ],
  [
    'litellm',
    {
      title: 'LiteLLM',
      agentIn: 'address',
      variables: NO_VARIABLES,
      keyVariable: null,
      language: 'yaml',
      lines: (target) => [
        'model_list:',
        '  - model_name: gemini-2.5-flash',
        '    litellm_params:',
        '      model: gemini/gemini-2.5-flash',
        `      api_base: ${text(`${addressOf(target)}/v1beta`)}`,
        target.needsToken
          ? `      api_key: os.environ/${TOKEN_VARIABLE}`
          : `      api_key: ${KEY_OF_HEADGATE} # or os.environ/${OWN_KEY_VARIABLE}`,
      ],
      notes: [
        'In code: completion(..., api_base=..., api_key=...) with the same values.',
        'Old versions leave out /models/NAME and need it in api_base.',
      ],
    },
  ],
  [
    'curl',
    {
      title: 'curl, or any program that speaks HTTP',
      agentIn: 'header',
      variables: NO_VARIABLES,
      keyVariable: null,
      language: 'sh',
      lines: ({ url, agent, needsToken }) => [
        `curl ${quoted(`${url}/v1beta/models/gemini-2.5-flash:generateContent`)} \\`,
        `  -H "x-goog-api-key: ${keyInShell(needsToken)}" \\`,
        ...(agent === null ? [] : [`  -H ${quoted(`x-headgate-agent: ${agent}`)} \\`]),
        '  -H "content-type: application/json" \\',
        `  -d '{"contents":[{"role":"user","parts":[{"text":"Why is the sky blue?"}]}]}'`,
      ],
      notes: [],
    },
  ],
]);

/** The variables of a setting that hold the address. */
export function variablesOf(
  setting: ClientSetting,
  target: SettingTarget,
): Readonly<Record<string, string>> {
  return setting.variables(setting.agentIn === 'header' ? target.url : addressOf(target));
}

/** Where the key comes from that a client sends; without `otherwise` there must be one. */
export function keyOf({ needsToken }: SettingTarget): { from: string; otherwise: string | null } {
  return needsToken
    ? { from: TOKEN_VARIABLE, otherwise: null }
    : { from: OWN_KEY_VARIABLE, otherwise: KEY_OF_HEADGATE };
}

/**
 * The setting as it can be pasted: exports for a shell where the client reads variables, what else
 * there is as comments below them; else the lines alone.
 */
export function settingText(setting: ClientSetting, target: SettingTarget): readonly string[] {
  const lines = setting.lines(target);
  const exports = Object.entries(variablesOf(setting, target)).map(
    ([name, value]) => `export ${name}=${quoted(value)}`,
  );
  if (exports.length === 0) return lines;
  if (setting.keyVariable !== null) {
    exports.push(`export ${setting.keyVariable}="${keyInShell(target.needsToken)}"`);
  }
  return [...exports, ...lines.map((line) => `# ${line}`)];
}

function addressOf({ url, agent }: SettingTarget): string {
  return agent === null ? url : `${url}/agents/${agent}`;
}

/** Inside double quotes. Without the token nothing would be let through, so the shell says so at once. */
function keyInShell(needsToken: boolean): string {
  return needsToken
    ? `\${${TOKEN_VARIABLE}:?is not set to the admin.token of headgate}`
    : `\${${OWN_KEY_VARIABLE}:-${KEY_OF_HEADGATE}}`;
}

function keyInTypeScript(target: SettingTarget): string {
  const { from, otherwise } = keyOf(target);
  return `process.env.${from}${otherwise === null ? '' : ` ?? ${text(otherwise)}`}`;
}

function keyInPython(target: SettingTarget): string {
  const { from, otherwise } = keyOf(target);
  return otherwise === null
    ? `os.environ[${text(from)}]`
    : `os.environ.get(${text(from)}, ${text(otherwise)})`;
}

/** As JSON, which TypeScript, Python and YAML read as the same text. */
function text(value: string): string {
  return JSON.stringify(value);
}

/** For a POSIX shell, whatever it holds. */
function quoted(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
