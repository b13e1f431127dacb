import { type TProperties, Type } from 'typebox';

import { instantOrNull, orNull, textOrNull, viewSchema } from './openapi-shapes.ts';
import type {
  ContinueAnswer,
  DryRunAnswer,
  SessionEntryView,
  SessionListView,
  SessionView,
} from './session-views.ts';

const AnyObject = Type.Unsafe<Readonly<Record<string, unknown>>>({ type: 'object' });
const Anything = Type.Unsafe<unknown>({});

const Warning = Type.Object(
  {
    file: Type.String({ description: 'Relative to the log directory.' }),
    message: Type.String(),
  },
  { title: 'SessionWarning', description: 'Something that was left out or guessed.' },
);

const Entry = viewSchema<SessionEntryView>()(
  Type.Object(
    {
      log_dir: Type.String({ description: 'What stands for {logDir}, not yet URL-encoded.' }),
      format: Type.String({
        examples: ['massgen', 'massgen-session-store', 'gemini-cli', 'headgate'],
      }),
      root: textOrNull({ description: 'The root it was found under.' }),
      session_id: textOrNull(),
      turns: Type.Integer({ minimum: 0 }),
      agents: Type.Array(Type.String()),
      models: Type.Array(Type.String()),
      first_question: textOrNull({ description: 'Cut to 200 characters.' }),
      updated_at: instantOrNull({ description: 'When its last turn was taken, by its content.' }),
      warnings: Type.Integer({ minimum: 0, description: 'How many there are.' }),
    },
    { title: 'SessionEntry' },
  ),
);

export const SessionListSchema = viewSchema<SessionListView>()(
  Type.Object(
    {
      sessions: Type.Array(Entry, { description: 'Newest first.' }),
      next_cursor: textOrNull({ description: 'For the next page; null on the last.' }),
    },
    { title: 'SessionList' },
  ),
);

const SessionAgent = Type.Object(
  { id: Type.String(), type: textOrNull(), model: textOrNull(), system_message: textOrNull() },
  { title: 'SessionAgent' },
);

const TurnSchema = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    question: textOrNull({ description: 'Cut to 2,000 characters unless full=true.' }),
    question_cut: Type.Optional(Type.Literal(true, { description: 'There when it was cut.' })),
    answer: textOrNull({ description: 'Cut to 2,000 characters unless full=true.' }),
    answer_cut: Type.Optional(Type.Literal(true, { description: 'There when it was cut.' })),
    answered: Type.Boolean({ description: 'Whether a final answer was delivered.' }),
    winner: textOrNull(),
    warnings: Type.Array(Warning, { description: "Those about the turn's own files." }),
  },
  { title: 'Turn' },
);

export const SessionSchema = viewSchema<SessionView>()(
  Type.Object(
    {
      log_dir: Type.String(),
      format: Type.String(),
      session_id: textOrNull(),
      next_turn: Type.Integer({ minimum: 1 }),
      agents: Type.Array(SessionAgent),
      config: Type.Unsafe<Readonly<Record<string, unknown>>>({
        type: 'object',
        additionalProperties: { type: 'object' },
        description: 'The backend settings of each agent by its id, without secrets.',
      }),
      turns: Type.Array(TurnSchema),
      warnings: Type.Array(Warning, { description: 'All of them.' }),
    },
    { title: 'Session' },
  ),
);

export const HistorySchema = Type.Object(
  {
    contents: Type.Array(
      Type.Object(
        { role: Type.Enum(['user', 'model']), parts: Type.Array(AnyObject) },
        { title: 'Content' },
      ),
      { description: 'What a next turn would send before the new message, whole.' },
    ),
    warnings: Type.Array(Warning),
  },
  { title: 'SessionHistory' },
);

const ConfigSide = {
  from: Type.Enum(['request', 'config', 'config_path', 'session']),
  value: Anything,
} satisfies TProperties;

const ConflictSchema = Type.Object(
  {
    key: Type.String(),
    used: Type.Union([Type.Object(ConfigSide), Type.Null()], {
      description: 'Null where the setting is dropped.',
    }),
    ignored: Type.Object(ConfigSide),
    message: Type.String({ description: 'The same in a sentence.' }),
  },
  {
    title: 'ConfigConflict',
    description: 'A setting on which two sources disagree, or that could not be used.',
  },
);

/** The same in a dry run and in an answer. */
const PLANNED = {
  session: Type.Object(
    {
      log_dir: Type.String(),
      format: Type.String(),
      turn: Type.Integer({ minimum: 1, description: 'The number of the new turn.' }),
      summary: Type.Object({
        turns: Type.Integer({ minimum: 0 }),
        questions: Type.Array(Type.String(), { description: 'The last five at most.' }),
        last_answer: textOrNull(),
      }),
    },
    { title: 'ContinuedSession' },
  ),
  agent: Type.String(),
  model: Type.String(),
  conflicts: Type.Array(ConflictSchema),
  warnings: Type.Array(Warning),
} satisfies TProperties;

export const ContinueAnswerSchema = viewSchema<ContinueAnswer>()(
  Type.Object(
    {
      ...PLANNED,
      text: Type.String(),
      response: Type.Unsafe<Readonly<Record<string, unknown>>>({
        type: 'object',
        description: "The model's answer as the API gave it; of a stream, its chunks made one.",
      }),
      usage: orNull<unknown>('object', { description: 'usageMetadata of the answer.' }),
    },
    { title: 'ContinueAnswer' },
  ),
);

export const DryRunSchema = viewSchema<DryRunAnswer>()(
  Type.Object(
    {
      ...PLANNED,
      request: Type.Object(
        { path: Type.String(), body: Anything },
        { description: 'The call that would be sent.' },
      ),
      tokens_estimated: Type.Integer({ minimum: 0 }),
    },
    { title: 'ContinueDryRun' },
  ),
);
